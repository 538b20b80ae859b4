"""Values of a run in TensorBoard's and W&B's files, read without their libraries, against its history."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from launching import PATIENCE
from run_problem import make
from wire import doubles, events, fields, records

import tangrax as tx

# W&B starts a process of its own.
pytestmark = pytest.mark.processes
wandb = pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
NAMES = ("loss", "pde", "fit")
MATRIX = np.array([[1.0, np.nan], [0.5, -2.0]])
MANY = np.append(np.arange(40.0) ** 2, [np.nan, np.inf])
ROW = {"epoch": 3, "matrix": MATRIX, "many": MANY, "none": np.full(50, np.nan)}


@pytest.fixture(scope="module", autouse=True)
def apart(tmp_path_factory):
    """W&B without the settings of who runs the tests; its process ends with them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("wandb")))
        yield
        wandb.teardown()


def offline(directory, **more):
    return tx.sinks.wandb("project", "a run", directory=directory, mode="offline", **more)


def series_in(directory: Path) -> list[tuple[int, dict]]:
    """Steps, and values by tag, of all event files: floats, and histograms as fields."""
    result = []
    for path in sorted(directory.iterdir()):
        for event in events(path):
            values = {}
            for value in fields(event[5][0])[1] if 5 in event else ():
                entry = fields(value)
                number = struct.unpack("<f", entry[2][0])[0] if 2 in entry else fields(entry[5][0])
                values[entry[1][0].decode()] = number
            result += [(event.get(2, [0])[0], values)] if values else []
    return result


def files(directory: Path) -> list[Path]:
    """Of offline runs. W&B's process writes them out when it ends."""
    wandb.teardown()
    return sorted(directory.glob("wandb/offline-run-*/*.wandb"))


def logged(directory: Path) -> list[tuple[int, dict]]:
    """Steps, and values by name, of all offline runs, in the order in which they began."""
    result = []
    for path in files(directory):
        for record in records(path):
            for history in record.get(2, ()):
                values = {}
                for item in map(fields, fields(history)[1]):
                    values["/".join(key.decode() for key in item.get(1, item.get(2)))] = json.loads(item[16][0])
                result.append((values.pop("_step"), values))
    return result


def check(rows, solver, rounded=lambda value: value):
    """Against the history: epochs of a run of 25 and one of 5 more, and what each has."""
    assert [rows[0][0], rows[-1][0]] == [9, 29]
    for epoch, values in rows:
        assert values["epochs per second"] > 0
        for name in NAMES:
            assert values[name] == rounded(solver.history[name][epoch])
        assert values["seen"] == rounded(solver.history["seen"][epoch // 7])


def test_tensorboard(devices, tmp_path):
    sink = tx.sinks.tensorboard(tmp_path / "new" / "board")
    solver = make(devices=devices)
    for epochs in (25, 5):
        solver.solve(epochs, progress=False, listeners=[sink])
    check(series_in(tmp_path / "new" / "board"), solver, np.float32)


def test_tensorboard_forgets_what_a_killed_run_wrote_later(tmp_path):
    """Each file begins with its version, and with a start that makes older values from its epoch on void."""
    sink = tx.sinks.tensorboard(tmp_path)
    for solver in (make(), make()):
        solver.solve(15, progress=False, listeners=[sink])
    for path in tmp_path.iterdir():
        version, start, first, *_ = events(path)
        assert version[3] == [b"brain.Event:2"]
        assert start[2] == first[2] and fields(start[7][0])[1] == [1]


def test_arrays_in_tensorboard(tmp_path):
    writer = tx.sinks.tensorboard(tmp_path).open_writer()
    writer.write(ROW)
    writer.close()
    ((epoch, values),) = series_in(tmp_path)
    many = values.pop("many")
    assert epoch == 3 and set(values) == {"matrix/0_0", "matrix/0_1", "matrix/1_0", "matrix/1_1"}
    np.testing.assert_array_equal(list(values.values()), MATRIX.ravel())
    assert 1 not in many  # the least is 0, which is not written
    assert (doubles(many[2][0]), doubles(many[3][0])) == ((39**2,), (40,))
    check_bins(doubles(many[7][0]), (0, *doubles(many[6][0])))


def check_bins(counts, edges):
    """Of the squares of 0 to 39, counted by hand in thirty bins."""
    assert len(counts) == 30 and sum(counts) == 40
    np.testing.assert_allclose(edges, np.linspace(0, 39**2, 31))
    assert counts[0] == 8 and counts[29] == 1  # 0 to 7² = 49 < 50.7; 39² alone is above 1470.3


def test_wandb(devices, tmp_path):
    sink = offline(tmp_path, config={"width": 8})
    solver = make(devices=devices)
    for epochs in (25, 5):
        solver.solve(epochs, progress=False, listeners=[sink])
    check(logged(tmp_path), solver)
    paths = files(tmp_path)
    assert len(paths) == 2 and len({path.name for path in paths}) == 1  # one run, for `wandb sync`


def test_wandb_is_told_nothing_but_the_rows(tmp_path, capsys):
    make().solve(25, progress=False, listeners=[offline(tmp_path)])
    (path,) = files(tmp_path)
    content = [record for record in records(path) if not {4, 7, 13} & set(record)]  # terminal, load
    assert len(content) == len(records(path))
    (run,) = [fields(record[17][0]) for record in content if 17 in record]
    assert run[3] == [b"project"] and run[8] == [b"a run"] and 21 not in run  # no git
    assert not any((path.parent / "files").iterdir())  # requirements, metadata, code
    assert capsys.readouterr() == ("", "")


def test_arrays_in_wandb(tmp_path):
    writer = offline(tmp_path).open_writer()
    writer.write(ROW)
    writer.close()
    ((epoch, values),) = logged(tmp_path)
    assert epoch == 3
    check_bins(values.pop("many/values"), values.pop("many/bins"))
    assert values.pop("many/_type") == "histogram"
    entries = {name: value for name, value in values.items() if not name.startswith("_")}
    assert set(entries) == {"matrix/0_0", "matrix/0_1", "matrix/1_0", "matrix/1_1"}
    np.testing.assert_array_equal([float(entries[name]) for name in sorted(entries)], MATRIX.ravel())


@pytest.mark.parametrize("make_sink, missing", [(tx.sinks.tensorboard, "tensorboardX"), (tx.sinks.wandb, "wandb")])
def test_a_missing_extra_is_said_at_once(make_sink, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"needs {missing}: pip install 'tangrax\[{missing.lower().rstrip('x')}\]'"):
        make_sink("somewhere")


def test_services_are_imported_only_when_asked_for():
    code = "import sys, tangrax; assert not {'wandb', 'tensorboardX', 'google.protobuf'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arguments_are_checked_at_once(monkeypatch):
    with pytest.raises(ValueError, match="mode='on': W&B has 'online', 'offline'"):
        tx.sinks.wandb(mode="on")
    with pytest.raises(TypeError, match="colour"):
        tx.sinks.wandb(mode="offline", colour="red")

    def refused(**_):
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "login", refused)
    with pytest.raises(ValueError, match=r"No API key configured.*mode='offline'.*Nothing was trained"):
        tx.sinks.wandb(mode="online")


@pytest.mark.parametrize("make_sink", [tx.sinks.tensorboard, offline])
def test_a_failing_service_says_so_once(make_sink, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    sink = make_sink(tmp_path / "file")
    solver = make()
    for _ in range(2):
        solver.solve(20, progress=False, listeners=[sink])
    errors = capsys.readouterr().err
    assert solver.epoch == 40 and errors.count("failed: ") == 1 and "Training goes on without it" in errors


@pytest.mark.parametrize("make_sink", [tx.sinks.tensorboard, offline])
def test_only_the_first_process_tells_services(make_sink, tmp_path, monkeypatch):
    class Other:
        writes = False

    monkeypatch.setattr("tangrax.monitor.sinks.sink.settings", Other)
    make().solve(25, progress=False, listeners=[make_sink(tmp_path / "log")])
    assert not (tmp_path / "log").exists()


PROGRAM = """
import sys, time
import tangrax as tx
from run_problem import make

tx.setup(dtype="float64")
sink = tx.sinks.wandb("project", directory=sys.argv[1], settings={"init_timeout": 2})
make().solve(25, progress=False, listeners=[sink])
print(time.time())
"""


def test_a_dead_network_holds_nothing_up(tmp_path, record_property):
    """A server that takes connections and never answers: the run ends, and its values are in files."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "home").mkdir()
        env = {
            **os.environ,
            "WANDB_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
            "WANDB_API_KEY": "0" * 40,  # of nobody
            "HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 0, run.stderr
    record_property("seconds from the end of training to that of the process", f"{time.time() - float(run.stdout):.1f}")
    assert run.stderr.count("Weights & Biases cannot be used") == 1, run.stderr
    assert logged(tmp_path)[-1][0] == 24
