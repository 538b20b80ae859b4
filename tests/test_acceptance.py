"""The two scripts users brought, run unchanged on several numbers of devices, processes and ranks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from launching import NEEDS_MPI, environment, launched, mpirun

SCRIPTS = Path(__file__).parent.parent.parent / "shared" / "acceptance"
# Runs a script, then writes what its solver (`crux`) recorded and what its last lines computed.
RUNNER = """
import runpy, sys, numpy as np
space = runpy.run_path(sys.argv[1])
import tangrax
rank = tangrax.parallel.settings().peers.rank
history = space["crux"].history
found = {f"history/{k}": history[k] for k in history} | {f"epochs/{k}": history.epochs(k) for k in history}
found |= {k: np.asarray(space[k]) for k in ("rel_l2", "cos_sim", "eff_rank", "eigvals")}
np.savez(f"{sys.argv[2]}/{rank}.npz", **found)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the acceptance scripts are not beside this checkout"),
]


def on_devices(count):
    def start(command):
        env = environment(XLA_FLAGS=f"--xla_force_host_platform_device_count={count}")
        run = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=900, env=env)
        assert run.returncode == 0, run.stdout + run.stderr

    return start


def under_mpirun(command):
    whole = [mpirun(), "-n", "2", sys.executable, *command]
    run = subprocess.run(whole, capture_output=True, text=True, timeout=900, env=environment())
    assert run.returncode == 0, run.stdout + run.stderr


# How a script is started, and how many processes write what they found.
WAYS = {f"{count} devices": (on_devices(count), 1) for count in (1, 3, 8)} | {
    "launch": (lambda command: launched(["-n", "2"], command, timeout=900), 2),
    "mpirun": (under_mpirun, 2),
}


# All runs of a script are on one worker: each is compared with that on one device.
EACH = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("seed_script", "seed_tutorial")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    done = {}

    def of(name, way):
        if (name, way) not in done:
            out = tmp_path_factory.mktemp("acceptance")
            runner = out / "runner.py"
            runner.write_text(RUNNER)
            start, count = WAYS[way]
            start([str(runner), str(SCRIPTS / f"{name}.py"), str(out)])
            done[name, way] = [dict(np.load(out / f"{rank}.npz")) for rank in range(count)]
        return done[name, way]

    return of


@pytest.mark.parametrize("way", [pytest.param(way, marks=[NEEDS_MPI] if way == "mpirun" else []) for way in WAYS])
@pytest.mark.parametrize("name", EACH)
def test_script(name, way, runs):
    (one,) = runs(name, "1 devices")
    for actual in runs(name, way):
        agrees(name, actual, one)


def agrees(name, actual, one):
    fired = {"seed_script": 50, "seed_tutorial": 25}[name]
    assert len(actual["history/tracker_0"]) == fired
    np.testing.assert_array_equal(actual["epochs/tracker_0"], np.arange(fired) * (5000 // fired))
    # Loss and tracker histories agree with those of one device to 1e-4 of each history's maximum.
    for key in one:
        if key.startswith("history/"):
            np.testing.assert_allclose(actual[key], one[key], rtol=0, atol=1e-4 * np.abs(one[key]).max(), err_msg=key)
    if name == "seed_script":
        assert 4.5e-2 <= actual["rel_l2"] <= 6e-2
        assert actual["cos_sim"] == pytest.approx(-0.97, abs=0.01)
        assert actual["history/tracker_0"][10] == pytest.approx(-0.18, abs=0.01)
        assert actual["eff_rank"] == pytest.approx(1.22, abs=0.02)
        assert actual["eigvals"][0] == pytest.approx(7.2e3, rel=0.01)
