"""The commands of `tangrax`, called in this process; those that train or start others are in tests/test_launch.py."""

import os
import re
import shutil
import subprocess
import sys
import typing
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax import cli, problems
from tangrax.parallel import Settings
from tangrax.refused import one_line

SLURM = os.path.join(os.path.dirname(os.path.dirname(__file__)), "slurm")


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def tangrax(capsys):
    def command(*arguments) -> Done:
        message, code = "", 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            # As the interpreter does: a text is printed, and the code is 1.
            message, code = (f"{stopped.code}\n", 1) if isinstance(stopped.code, str) else ("", stopped.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err + message)

    return command


@pytest.fixture
def unset(monkeypatch):
    """What a command chooses for the process ends with the test."""
    monkeypatch.setattr(sys.modules["tangrax.parallel.setup"], "current", Settings())


def trained(run_dir, rate=1e-2, epochs=100):
    x, _ = tx.domain.line(n=16).variable("interior")
    net = tx.nn.mlp(1, width=4, depth=1, key=1)
    off = (net(x) - tx.np.sin(3 * x)).mse
    cosine = tx.np.cosine(net(x)[x < 0.5].mean.grad(net), -net(x)[x >= 0.5].mean.grad(net))
    solver = tx.core({"fit": off, "against": cosine.tracker(10)}, optimizer=optax.adam(rate), devices=1)
    return solver.solve(epochs, progress=False, run_dir=run_dir, checkpoint_every=50)


def test_report(tmp_path, tangrax):
    trained(tmp_path / "run")
    done = tangrax("report", tmp_path / "run")
    assert done.code == 0 and "wrote" in done.out, done.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "in conflict" in page
    done = tangrax("report", tmp_path / "run", "--out", tmp_path / "other.html")
    assert done.code == 0 and (tmp_path / "other.html").exists(), done.err
    done = tangrax("report", tmp_path)
    assert done.code == 1 and f"holds no run: did you mean {tmp_path / 'run'}?" in done.err, done.err


def test_analyse(tmp_path, tangrax):
    """Gradients that are against each other are said, and make the exit code 3."""
    solver = trained(tmp_path / "run")
    done = tangrax("analyse", tmp_path / "run")
    assert done.code == 3, done.err
    value = solver.history["against"][-1]
    assert value < 0 and f"! against = {value:.2f}" in done.out
    assert f"fit                      {solver.history['fit'][-1]:.4g}" in done.out
    assert "not running, epoch 100 of 100" in done.out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["run"], "name what to run"),
        (["run", "absent.py"], "no script absent.py"),
        (["run", "poissn-1d"], "'poissn-1d' is no file that ends in .py and no problem"),
        (["run", "poisson-1d", "--epochs", "0"], "--epochs 0: give 1 or more"),
        (["run", "pinnacle/wave1d"], "and no problem: did you mean pinnacle/wave1d-c?"),
        (["run", "pinnacle/ks", "--epochs", "0"], "tangrax run pinnacle/ks --epochs 0: give 1 or more"),
        (["run", "poisson-1d", "--emulate"], "such as --devices 4"),
        (["launch", "-n", "0", __file__], "at least 1"),
        (["launch", "--mpi", "--devices-per-process", "2", __file__], "one device"),
        (["report", "absent"], "tangrax report: absent holds no run"),
        (["analyse", "absent"], "tangrax analyse: absent holds no run"),
        (["init", SLURM], "train.sbatch is there: give another directory. Nothing was written"),
        (["init", __file__], "is a file: give a directory. Nothing was written"),
        (["report", "heat"], "tangrax report: heat holds no run"),
        (["analyse", "burgers"], "tangrax analyse: burgers holds no run"),
        (["run", "--profile", "heat", "burgres"], "'burgres' is no file that ends in .py and no problem: did you mean"),
        (["run", "--timeout", "0", "poisson-1d"], "tangrax run poisson-1d: setup(timeout=0): a positive number"),
        (["run", "--timeout", "0", __file__], "tangrax run: setup(timeout=0): a positive number of seconds"),
        (["run", "poisson-1d", "--seed", str(2**70)], "give a number of 64 bits"),
        (["run", "poisson-1d", "--devices", "9"], "tangrax run poisson-1d: devices=9: 8 visible (cpu)"),
        (["run", "poisson-1d", "--devices", "1", "--run-dir", __file__], "cannot be written (Not a directory)"),
        (["run", "poisson-1d", "--save", "absent/solver.npz"], "cannot save to absent/solver.npz"),
    ],
)
def test_refused(arguments, message, tangrax, unset):
    done = tangrax(*arguments)
    assert done.code != 0 and message in done.err, done.out + done.err
    assert "Traceback" not in done.err
    assert not os.path.exists(os.path.join(SLURM, "train.py"))


def test_words_that_name_problems_are_directories_of_other_commands(tmp_path, tangrax, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tangrax("init", "burgers").code == 0
    assert sorted(os.listdir()) == ["burgers"] and "train.py" in os.listdir("burgers")


@pytest.mark.parametrize(
    "line, options",
    [
        ("run heat --epochs 3", 1),
        ("run --transport xla heat burgers", 3),
        ("run --profile=heat script.py --mpi 2", 2),
        ("run --profile heat.py script.py", 3),
        ("run script.py --timeout 3 -- --profile --help", 1),
        ("launch -n 4 heat", 3),
        ("launch --mpi --devices_per_process 2 burgers --devices 2", 4),
        ("launch --no-mpi --n 2 a.py -n 3", 4),
    ],
)
def test_what_follows_the_first_word_that_is_no_option_is_the_programs_own(line, options):
    words = line.split()
    assert cli.parse(words).program == tuple(words[options:])


def test_a_user_may_end_the_options_too():
    """By `--`, as elsewhere."""
    command = cli.parse(["run", "--timeout", "3", "--", "script.py", "-n", "3"])
    assert command == cli.Run(timeout=3, program=("script.py", "-n", "3"))


def test_other_commands_take_all_words():
    assert cli.parse(["report", "heat", "--out", "burgers"]) == cli.Report(Path("heat"), Path("burgers"))
    assert cli.parse(["init", "--cpu", "heat"]) == cli.Init(Path("heat"), cpu=True)


def test_help_names_all_that_may_follow(tangrax):
    """The oracle is the list of commands in the documentation of the module."""
    commands = re.findall(r"`(?:tangrax )?(\w+)`", cli.__doc__)
    help_page = tangrax("--help")
    assert help_page.code == 0 and len(commands) == 7 and all(f" {command} " in help_page.out for command in commands)
    for command in ("run", "launch"):
        assert "SCRIPT|PROBLEM [ARGS ...]" in tangrax(command, "--help").out


def test_a_directory_of_another_run_is_refused_in_one_line(tmp_path, tangrax, unset):
    trained(tmp_path / "run", epochs=2)
    done = tangrax("run", "poisson-1d", "--devices", "1", "--epochs", "4", "--run-dir", tmp_path / "run")
    assert done.code == 1 and len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith("tangrax run poisson-1d: run_dir=") and "is of another problem" in done.err


def test_a_record_of_something_else_is_refused(tmp_path, tangrax):
    (tmp_path / "run.json").write_text('{"starts": [{}]}')
    done = tangrax("analyse", tmp_path)
    assert done.code == 1 and "is not what this version of Tangrax writes (KeyError: 'epochs')" in done.err


def faults():
    """What fails as a program does that has an error in it, of the kinds that refusals are of too."""
    return {
        "a call": lambda: int("four"),
        "an operation": lambda: np.ones(2) + np.ones(3),
        "of JAX": lambda: jnp.zeros(2).reshape(3),
        "a name": lambda: {}["absent"],
    }


@pytest.mark.parametrize("fault", faults())
def test_a_fault_of_the_program_keeps_its_traceback(fault):
    kind = KeyError if fault == "a name" else (TypeError, ValueError)
    with pytest.raises(kind), one_line("run heat"):
        tx.domain.line(n=4)
        faults()[fault]()


@pytest.mark.parametrize(
    "error, said",
    [
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes\nmore"), "on a device: RES"),
        (RuntimeError("Unable to initialize backend 'cuda': no driver"), "'cuda': no driver. JAX_PLATFORMS=cpu"),
        (MemoryError("Unable to allocate 8 TiB"), "not enough memory: Unable to allocate 8 TiB"),
        (PermissionError(13, "Permission denied", "runs"), "Permission denied: 'runs'"),
    ],
)
def test_what_a_machine_refuses_is_one_line(error, said):
    with pytest.raises(SystemExit, match=re.escape(said)) as stopped, one_line("run heat"):
        raise error
    assert str(stopped.value).startswith("tangrax run heat: ") and "\n" not in str(stopped.value)


def test_problems_are_listed(tangrax):
    done = tangrax("problems")
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[1:-1]] == problems.names()
    assert "u_t + u u_x = 0.01/π u_xx" in done.out


@pytest.mark.parametrize("family", ["pinnacle", "dsgnar"])
def test_benchmarks_are_listed(family, tangrax):
    """With the best of the published table, as it is quoted in the documentation."""
    done = tangrax("problems", "--family", family)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[1:-1]] == problems.names(family)
    row = {
        "pinnacle": r"wave1d-c +u_tt = 4 u_xx +closed form +exact +0.0979 +NTK\n",
        "dsgnar": r"wave .* 1.2e-15 +DSGNAR\n",
    }
    assert re.search(f"{family}/{row[family]}", done.out)


def test_families_that_are_not_there_are_refused(tangrax):
    done = tangrax("problems", "--family", "pinacle")
    assert done.code == 2 and "pinnacle" in done.err
    assert set(typing.get_args(typing.get_type_hints(cli.Problems)["family"])) == set(problems.families())
    with pytest.raises(KeyError, match=r"no family 'pinacle': there are library, pinnacle, dsgnar"):
        problems.table("pinacle")


def test_a_benchmark_is_solved_by_its_name(tmp_path, tangrax, unset, monkeypatch):
    """A line in place of a case, whose name has a slash as all cases have; the error is by hand: u = 2x, not 4x."""

    def line(seed):
        x, _ = tx.domain.line(mesh_size=0.1).variable("interior")
        k = tx.nn.parameter(1.0)
        return problems.Task({"pde": (k * x - 2 * x).mse}, {"u": problems.Answer(k * x, 4 * x)})

    case = problems.BenchmarkProblem(
        "pinnacle/ks", "u = 2x", "by hand", line, 3, reference_error=0.0, published=0.957, published_by="LRA"
    )
    monkeypatch.setitem(problems.library.FAMILIES, "pinnacle", {case.name: case})
    monkeypatch.chdir(tmp_path)
    done = tangrax("run", "pinnacle/ks", "--devices", "1", "--epochs", "20", "--save", "ks.npz", "--run-dir", "runs/ks")
    assert done.code == 0, done.err
    assert done.out.startswith("pinnacle/ks: u = 2x\n") and "u: relative error 5.0e-01" in done.out
    assert "all outputs together: 5.0e-01; the least published is 9.6e-01 (LRA)" in done.out
    assert sorted(os.listdir()) == ["ks.npz", "runs"] and tangrax("analyse", "runs/ks").code in (0, 3)


@pytest.mark.parametrize("command", ["run", "launch", "report", "analyse", "init", "problems", "doctor"])
def test_help_teaches(command, tangrax):
    done = tangrax(command, "--help")
    assert done.code == 0 and f"usage: tangrax {command}" in done.out
    assert len(done.out.splitlines()) > 5


@pytest.mark.parametrize("cpu", [False, True])
def test_init(cpu, tmp_path, tangrax):
    """A program, and the batch file that runs it."""
    done = tangrax("init", tmp_path / "new", *(["--cpu"] if cpu else []))
    assert done.code == 0, done.err
    batch = (tmp_path / "new" / "train.sbatch").read_text()
    assert subprocess.run([shutil.which("bash"), "-n"], input=batch, text=True).returncode == 0
    assert "set -- train.py" in batch and sys.prefix in batch and "scripts/" not in batch
    assert ("--gres" in batch) != cpu and f"JAX_PLATFORMS:-{'cpu' if cpu else 'cuda'}" in batch
    compile((tmp_path / "new" / "train.py").read_text(), "train.py", "exec")
