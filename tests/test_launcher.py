"""How the launcher ends, with shells as its processes: they signal this process, which is their launcher."""

import os
import resource
import signal
import sys
import threading

import pytest
from launching import alive

from tangrax.launch import run_commands


@pytest.fixture
def run(tmp_path, capfd):
    """Run shell scripts with numbers: the exit code, what the launcher said, and no process of theirs left."""

    def running(*scripts):
        texts = [f"echo $$ > {tmp_path}/{index}.pid; {script}" for index, script in enumerate(scripts)]
        code = run_commands([(["sh", "-c", text], os.environ, f"[{index}] ") for index, text in enumerate(texts)])
        assert not any(alive(path.read_text().strip()) for path in tmp_path.glob("*.pid"))
        return code, capfd.readouterr().err.splitlines()

    return running


DEAF = "trap '' INT TERM; "


def test_a_second_signal_kills_at_once(run):
    """Two lines, and the exit code of the first."""
    code, lines = run(DEAF + "sleep 1000", DEAF + "sleep .3; kill -INT $PPID; sleep .3; kill -TERM $PPID; sleep 1000")
    assert code == 130
    assert lines == [
        "tangrax launch: SIGINT; stopping all processes, a second signal kills them",
        "tangrax launch: SIGTERM; killing all processes",
    ]


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_processes_that_answer_a_signal_are_not_killed(name, run, tmp_path):
    answer = f"trap 'echo saved > {tmp_path}/saved; exit 0' INT TERM; "
    code, lines = run(answer + f"kill -{name} $PPID; while :; do sleep .05; done")
    assert code == 128 + getattr(signal, f"SIG{name}") and len(lines) == 1
    assert (tmp_path / "saved").exists()


def test_a_signal_before_all_have_started(run):
    code, _ = run("kill -TERM $PPID; sleep 1000", *["sleep 1000"] * 30)
    assert code == 143


def test_a_signal_that_was_ignored_stays_so(run):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("kill -HUP $PPID; sleep .3") == (0, [])
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_those_of_before(run):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run("exit 3")
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_too_few_descriptors_for_the_processes(run):
    """Those that were started are stopped."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, before[1]))
    try:
        code, lines = run(*["sleep 1000"] * (highest + 10))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert code == 1 and len(lines) == 1
    assert "could not be started ([Errno 24] Too many open files); stopping the others" in lines[0]


def test_a_reader_that_leaves_does_not_hold_up_a_process(run, monkeypatch):
    """It writes more than a pipe holds."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        failed = []
        monkeypatch.setattr(threading, "excepthook", failed.append)
        assert run("head -c 300000 /dev/zero | tr '\\0' x | fold -w 1000") == (0, [])
        assert not failed
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            closed.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # so that closing it writes to somewhere


def test_a_failure_of_the_launcher_itself_leaves_no_process(monkeypatch):
    """Whatever is raised: they are killed, not asked."""
    started = []

    def broken(processes, stops):
        started.extend(processes)
        raise RuntimeError("a mistake")

    monkeypatch.setattr("tangrax.launch.wait_for", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        run_commands([(["sh", "-c", "sleep 1000"], os.environ, "")] * 2)
    assert [process.wait(timeout=10) for process in started] == [-signal.SIGKILL] * 2
