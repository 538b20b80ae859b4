"""Values of a run in files, against its history; sinks that are slow or fail."""

import contextlib
import csv
import json
import threading

import numpy as np
import optax
import pytest
from run_problem import make

import tangrax as tx
from tangrax.monitor.sinks import Sink, Writer

NAMES = ("loss", "pde", "fit")


def run(sink, epochs=25):
    return make().solve(epochs, progress=False, listeners=[sink])


def test_json_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    sink = tx.sinks.json_lines(path)
    solver = run(sink).solve(5, progress=False, listeners=[sink])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [rows[0]["epoch"], rows[-1]["epoch"]] == [9, 29]
    for row in rows:
        assert row["epochs per second"] > 0
        for name in NAMES:
            assert row[name] == solver.history[name][row["epoch"]]
        assert row["seen"] == solver.history["seen"][row["epoch"] // 7]


def test_a_table(tmp_path):
    path = tmp_path / "log.csv"
    sink = tx.sinks.csv(path)
    solver = run(sink).solve(5, progress=False, listeners=[sink])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [rows[0]["epoch"], rows[-1]["epoch"]] == ["9", "29"]
    for row in rows:
        for name in NAMES:
            assert float(row[name]) == solver.history[name][int(row["epoch"])]


def test_arrays_and_numbers_that_are_not_finite(tmp_path):
    row = {"epoch": 3, "matrix": np.array([[1.0, np.nan], [0.5, -np.inf]])}
    for sink in (tx.sinks.json_lines(tmp_path / "a"), tx.sinks.csv(tmp_path / "b")):
        with contextlib.closing(sink.open_writer()) as writer:
            writer.write(row)
    assert json.loads((tmp_path / "a").read_text()) == {"epoch": 3, "matrix": [[1.0, None], [0.5, None]]}
    names, values = (tmp_path / "b").read_text().splitlines()
    assert next(csv.reader([names])) == ["epoch", "matrix[0,0]", "matrix[0,1]", "matrix[1,0]", "matrix[1,1]"]
    assert values == "3,1.0,nan,0.5,-inf"


class Rows(Writer):
    """Keeps what it is given."""

    def __init__(self):
        self.rows = []

    def write(self, row):
        self.rows.append(row)

    def close(self): ...


@pytest.mark.parametrize(
    "how, some",
    [
        ("watched", {"rank/effective_rank", "rank/largest", "rank/trace", "rank/eigenvalues"}),
        ("moving", {"resample/interior", "weight/pde", "weight/fit"}),
        pytest.param("conflict", {"conflict/cosine", "conflict/on"}, marks=pytest.mark.slow),
        pytest.param("gauss_newton", {"damping", "radius", "ratio"}, marks=pytest.mark.slow),
    ],
)
def test_a_row_has_the_newest_of_all_that_is_recorded(how, some):
    """Against the history: the last entry of each name up to the row's epoch."""
    recorder = Rows()
    solver = make(how, 2).solve(13, progress=False, listeners=[Sink("rows", lambda: recorder)])
    assert some <= set(solver.history)
    for row in recorder.rows:
        due = {name: solver.history.epochs(name) <= row["epoch"] for name in solver.history}
        assert set(row) == {"epoch", "epochs per second", *(name for name, some in due.items() if some.any())}
        for name, before in due.items():
            if before.any():
                np.testing.assert_array_equal(row[name], solver.history[name][before][-1])
    assert set(solver.history) < set(recorder.rows[-1])


def test_a_table_has_a_column_more_for_what_is_recorded_later(tmp_path):
    """Points move before epochs 6 and 12, and rows are of epochs 5 and 11: the first has none of it."""
    path = tmp_path / "log.csv"
    path.write_text("")
    for epochs in (12, 5):
        solver = make("moving", 2) if epochs == 12 else solver
        solver.solve(epochs, progress=False, listeners=[tx.sinks.csv(path)])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["5", "11", "16"]
    moved = dict(zip(solver.history.epochs("resample/interior"), solver.history["resample/interior"], strict=True))
    assert [row["resample/interior"] for row in rows] == ["", str(moved[6]), str(moved[12])]
    for row in rows:
        assert float(row["loss"]) == solver.history["loss"][int(row["epoch"])]


def test_the_rows_of_a_run_that_fails_go_to_its_last_finite_epoch(tmp_path):
    """A step of 1e200 is taken in the midst of a stretch: what the history keeps is in the row."""
    path = tmp_path / "log.jsonl"
    solver = make(optimizer=optax.sgd(optax.join_schedules([lambda _: 1e-4, lambda _: 1e200], [5])))
    with pytest.raises(FloatingPointError):
        solver.solve(30, progress=False, listeners=[tx.sinks.json_lines(path)])
    (row,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert row["epoch"] == len(solver.history["loss"]) - 1 and row["loss"] == solver.history["loss"][-1]


class Stuck(Writer):
    """Writes nothing until it is let go."""

    def __init__(self, go):
        self.go, self.rows = go, []

    def write(self, row):
        assert self.go.wait(60)
        self.rows.append(row)

    def close(self): ...


def test_a_slow_sink_holds_nothing_up(monkeypatch, capsys):
    """Training ends while the first row is still being written; what does not fit is left out, and said once."""
    monkeypatch.setattr("tangrax.monitor.sinks.sink.ROOM", 2)
    monkeypatch.setattr("tangrax.monitor.sinks.sink.PATIENCE", 0.2)
    go = threading.Event()
    writer = Stuck(go)
    solver = make()
    sink = Sink("the slow one", lambda: writer)
    solver.solve(60, progress=False, listeners=[Often(sink)])
    assert solver.epoch == 60 and not writer.rows
    go.set()
    errors = capsys.readouterr().err
    assert errors.count("the slow one is 2 rows behind") == 1
    assert "left to itself" in errors


class Often:
    """Tells a sink of each stretch five times."""

    def __init__(self, sink):
        self.on_start, self.on_end, self.sink = sink.on_start, sink.on_end, sink

    def on_stretch(self, stretch):
        for _ in range(5):
            self.sink.on_stretch(stretch)


def test_a_failing_sink_says_so_once(tmp_path, capsys):
    solver = run(tx.sinks.json_lines(tmp_path / "none" / "log.jsonl"), 40)
    assert solver.epoch == 40
    errors = capsys.readouterr().err
    assert errors.count("failed: FileNotFoundError") == 1 and "Training goes on without it" in errors


def test_a_table_of_another_run_is_left_alone(tmp_path, capsys):
    path = tmp_path / "log.csv"
    path.write_text("epoch,other\n1,2\n")
    run(tx.sinks.csv(path))
    assert path.read_text() == "epoch,other\n1,2\n"
    assert "no column for epochs per second, " in capsys.readouterr().err


@pytest.mark.parametrize("make_sink", [tx.sinks.json_lines, tx.sinks.csv])
def test_only_the_first_process_writes(make_sink, tmp_path, monkeypatch):
    class Other:
        writes = False

    monkeypatch.setattr("tangrax.monitor.sinks.sink.settings", Other)
    run(make_sink(tmp_path / "log"))
    assert not (tmp_path / "log").exists()
