"""Where the time of a run goes: what a profile says against a clock outside it, and that it changes nothing."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import launching
import numpy as np
import optax
import pytest
import run_problem

import tangrax as tx
from tangrax.analysis import read_record
from tangrax.monitor.step_timing import StepTiming
from tangrax.report import write_report

# What is compared here is far apart, so that short timings do.
pytestmark = pytest.mark.usefixtures("short_timings")
PROGRAM = Path(__file__).with_name("profiled.py")


@pytest.fixture
def short_timings(monkeypatch):
    monkeypatch.setattr("tangrax.monitor.step_timing.SECONDS", 0.02)


def calls(path):
    return json.loads((path / "profile.json").read_text())["calls"]


def events(path):
    """Of each Perfetto trace there, by time."""
    actual = sorted(path.glob("plugins/profile/*/perfetto_trace.json.gz"))
    assert actual
    return [json.loads(gzip.decompress(file.read_bytes()))["traceEvents"] for file in actual]


def test_parts_add_up(devices, tmp_path):
    solver = run_problem.make(devices=devices)
    began = time.perf_counter()
    solver.solve(200, progress=False, profile=tmp_path, run_dir=tmp_path / "run", checkpoint_every=50)
    wall = time.perf_counter() - began
    (call,) = calls(tmp_path)
    parts = call["parts"]
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == pytest.approx(call["seconds"])
    # Outside are only checks before the profile begins, the writing of the table, and the end of the run directory.
    measured = call["seconds"] + call["profiling_seconds"]
    assert measured <= wall < measured + 2
    assert parts["compile"] > 0 and parts["step"] > 0 and parts["input/output"] > 0
    assert (parts["communication"] > 0) == (devices > 1)
    assert call["compared"]["all_reduce_numbers"] == 8 + 8 + 8 * 8 + 8 + 8 + 1 + 2  # weights and biases, terms
    assert call["devices"] == devices and call["epochs"] == [0, 200] and call["compilations"] == 1
    # The report has it from the run's directory.
    record = read_record(tmp_path / "run")
    assert record.profile[0]["parts"] == parts
    assert "profile of epochs 0 to 200" in write_report(tmp_path / "run").read_text()


def test_trace(devices, tmp_path):
    solver = run_problem.make(devices=devices)
    solver.solve(60, progress=False, profile=tmp_path)
    (trace,) = events(tmp_path)
    marks = [event for event in trace if event.get("name") == "training"]
    assert [int(mark["args"]["step_num"]) for mark in marks if "args" in mark][:1] == [10]
    assert any("traced" in str(event.get("name")) for event in trace)  # the call of the compiled program
    assert len(trace) < 100_000 * devices


def test_a_run_of_one_stretch_has_a_trace(tmp_path):
    solver = run_problem.make()
    solver.solve(5, progress=False, profile=tmp_path)
    (trace,) = events(tmp_path)
    assert any(event.get("name") == "training" for event in trace)
    (call,) = calls(tmp_path)
    assert call["compared"] is None and call["parts"]["trackers"] == call["parts"]["step"] == 0
    assert solver.epoch == 5


# A tag that grows compiles anew at each growth: few epochs.
CASES = [("plain", 1, 20), ("plain", 3, 20), ("moving", 1, 20), ("watched", 3, 20), ("growing", 3, 8)]


@pytest.mark.slow
@pytest.mark.parametrize("how, devices, count", CASES)
def test_results_are_the_same(how, devices, count, tmp_path):
    profiled, other = (run_problem.make(how, devices=devices) for _ in range(2))
    for epochs in (count, count // 2):
        profiled.solve(epochs, progress=False, profile=tmp_path)
        other.solve(epochs, progress=False)
    assert list(profiled.history) == list(other.history)
    for name in other.history:
        np.testing.assert_array_equal(profiled.history[name], other.history[name])
    for mine, its in zip(
        *(jax.tree.leaves(list(s.training.parameters.values())) for s in (profiled, other)), strict=True
    ):
        np.testing.assert_array_equal(mine, its)
    assert profiled.timing.compilations == other.timing.compilations
    assert [call["epochs"] for call in calls(tmp_path)] == [[0, count], [count, count + count // 2]]
    assert calls(tmp_path)[1]["parts"]["compile"] == 0 or how == "growing"
    assert (calls(tmp_path)[0]["parts"]["points"] > 0.001) == (how in ("moving", "growing"))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 3])
def test_a_heavy_tracker_has_a_larger_share(devices, tmp_path):
    """One of 200,000 points beside steps of 20; and one of 20."""
    few, many = (tx.domain.line(n=n, seed=1).variable("interior")[0] for n in (20, 200_000))
    net = tx.nn.mlp(1, width=8, depth=2, key=1)
    shares = {}
    for name, points, every in (("light", few, 3), ("heavy", many, 3), ("seldom", many, 500)):
        solver = tx.core(
            {"fit": (net(few) - 1).mse, "seen": net(points).mse.tracker(every)},
            optimizer=optax.adam(1e-3),
            devices=devices,
        )
        solver.solve(300, progress=False, profile=tmp_path / name)
        (call,) = calls(tmp_path / name)
        # On a busy machine an all-reduce alone may take as long as a stretch did.
        parts = [call["parts"][part] for part in ("trackers", "step", "communication")]
        shares[name] = parts[0] / sum(parts)
    assert shares["heavy"] > max(0.5, shares["light"])
    assert shares["seldom"] == 0  # it was due in the epochs that compiled, and not again


def test_shares_of_trackers_of_several_intervals():
    """Two each second epoch and one each fifth, of 1 s each, beside steps of 3 s of which 0.6 are communication."""
    actual = StepTiming(epoch=3.0, trackers={2: 2.0, 5: 1.0}, all_reduce=0.6, numbers=9, devices=2)
    watched, communication = actual.shares([(10, 15), (15, 20)])  # due at 10, 12, 14, 16, 18 and at 10, 15
    assert watched == pytest.approx((5 * 2 + 2 * 1) / (5 * 2 + 2 * 1 + 10 * 3))
    assert communication == pytest.approx(0.2)


def test_listeners_are_input_and_output(tmp_path):
    class Slow:
        def on_start(self, run):
            time.sleep(0.1)

        def on_stretch(self, stretch):
            time.sleep(0.1)

        def on_end(self):
            time.sleep(0.1)

    run_problem.make().solve(15, progress=False, listeners=[Slow()], profile=tmp_path)
    assert 0.4 <= calls(tmp_path)[0]["parts"]["input/output"] < 1.4


def test_a_file_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    solver = run_problem.make()
    with pytest.raises(OSError, match=r"profile='.*file': nothing can be written there .*Nothing was trained"):
        solver.solve(5, progress=False, profile=tmp_path / "file")
    assert solver.epoch == 0


def test_a_damaged_profile_is_none(tmp_path):
    run_problem.make().solve(5, progress=False, run_dir=tmp_path)
    for text in ("", "{}", '{"calls": [3]}', '{"calls": [{"epochs": 3}]}', "[]"):
        (tmp_path / "profile.json").write_text(text)
        assert read_record(tmp_path).profile == []


@pytest.mark.processes
@pytest.mark.parametrize("transport", launching.TRANSPORTS)
def test_processes_take_part(transport, tmp_path):
    """Where the first is told: all measure, it writes."""
    options = ["-n", "2", *(["--mpi"] if transport == "mpi" else [])]
    launching.launched(options, [PROGRAM, tmp_path])
    (call,) = calls(tmp_path)
    assert call["processes"] == call["devices"] == 2
    assert call["parts"]["communication"] > 0
    assert len(events(tmp_path)) == 1 and not Path("elsewhere").exists()


@pytest.mark.processes
def test_command_line(tmp_path):
    """The option holds for all that a script solves."""
    program = "import run_problem\ns = run_problem.make()\ns.solve(15, progress=False)\ns.solve(15, progress=False)\n"
    (tmp_path / "script.py").write_text(program)
    env = launching.environment(PYTHONPATH=str(Path(__file__).parents[1]), JAX_ENABLE_X64="1")
    command = [sys.executable, "-m", "tangrax", "run", "--profile", "there", "script.py"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=launching.PATIENCE, env=env, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert [call["epochs"] for call in calls(tmp_path / "there")] == [[0, 15], [15, 30]]
    assert "how it was measured" in run.stdout
    assert os.listdir(tmp_path / "there" / "plugins" / "profile")
