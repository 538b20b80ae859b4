"""Every worker has 8 emulated devices, which cannot change later; tests use the first k of them."""

import os

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

import jax
import pytest

# Tests compare in float64 and choose the dtype of each run in tx.core.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(params=[1, 3, pytest.param(8, marks=pytest.mark.slow)], ids=lambda k: f"{k}dev")
def devices(request) -> int:
    """How many devices share the points: one, a number that divides nothing, all (among the slow tests)."""
    return request.param


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
