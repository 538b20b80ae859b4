"""Memory that a plan promises, against what the system says this process takes while the program runs."""

import ctypes
import gc
import re
from pathlib import Path

import jax
import optax
import pytest

import tangrax as tx

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def kilobytes(what):
    return int(re.search(rf"{what}:\s+(\d+) kB", STATUS.read_text())[1])


@pytest.mark.slow
@pytest.mark.skipif(not PEAK.exists(), reason="the peak of resident memory is Linux's")
def test_a_kernel_takes_what_its_plan_says(devices):
    """Within a quarter, compilation apart: K of 5000 points is 200 MB, and stays on the devices."""
    x, y, _ = tx.domain.rect(n=5000, boundary=8).variable("interior")
    net = tx.nn.mlp(2, width=32, depth=2)
    solver = tx.core([net(x, y).mse], optimizer=optax.adam(1e-3), devices=devices, dtype="float64")
    K = net(x, y).grad(net).gram()
    whole = lambda: jax.block_until_ready(solver.eval(K, sharded=True).padded)
    whole()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    PEAK.write_text("5")
    before = kilobytes("VmRSS")
    held = whole()
    peak, planned = kilobytes("VmHWM") - before, solver.plan(K).chosen.memory * devices / 1024
    assert held.nbytes > 2e8 - 1
    assert 0.75 * planned < peak < 1.25 * planned
