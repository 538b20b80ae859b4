"""Every worker has 8 emulated devices, which cannot change later; tests use the first k of them."""

import gc
import os
import signal

# Busy cores can outlast XLA's rendezvous time-outs. The flags must stand before JAX is first imported.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_cpu_collective_call_terminate_timeout_seconds=600",
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=120",
    ]
)
os.environ["JAX_PLATFORMS"] = "cpu"
# Threads of LAPACK spin while they wait for cores that other workers have. It is read when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

# Little of what is imported and collected becomes garbage: pytest_collection_finish switches it on again.
gc.disable()

# Tests compare in float64 and choose the dtype of each run in tx.core.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Under nohup, or in the background of a shell, these are ignored, by programs that tests start too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption("--devices", default="3", help="numbers of devices, such as 1,3,8, for tests that take `devices`")
    parser.addoption("--kills", type=int, default=3, help="how often each run of checkpoint/test_killed.py is killed")


def pytest_generate_tests(metafunc):
    """Tests that take `devices`, or a fixture that does, run on each number of `--devices`.

    Three is what they run on else: it divides nothing, so shards are uneven and padded. Tests that compare numbers of
    devices name their own.
    """
    own = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    named = any("devices" in (names.split(", ") if isinstance(names, str) else names) for names in own)
    if "devices" in metafunc.fixturenames and not named:
        counts = [int(count) for count in metafunc.config.getoption("--devices").split(",")]
        each = [pytest.param(count, id=f"{count}dev", marks=pytest.mark.devices) for count in counts]
        metafunc.parametrize("devices", each, scope="session")


def pytest_collection_finish():
    """Spares the garbage collector what stays to the end: a sixth of all time went into looking through it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def programs_of_a_module():
    """Lets compiled programs go with the module that asked for them: a worker would grow to 5 GB."""
    yield
    jax.clear_caches()
    gc.collect()


def pytest_terminal_summary(terminalreporter):
    """What tests have measured, such as seconds, stands under their names at the end."""
    lines = [
        f"{report.nodeid.removeprefix('tests/')}: {name}: {value}"
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
    ]
    if lines:
        terminalreporter.section("measured")
        for line in sorted(lines):
            terminalreporter.line(line)
