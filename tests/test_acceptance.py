"""The two scripts users brought, run unchanged on several numbers of devices."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parent.parent.parent / "shared" / "acceptance"
# Runs a script, then writes what its solver (`crux`) recorded and what its last lines computed.
RUNNER = """
import runpy, sys, numpy as np
space = runpy.run_path(sys.argv[1])
history = space["crux"].history
found = {f"history/{k}": history[k] for k in history} | {f"epochs/{k}": history.epochs(k) for k in history}
found |= {k: np.asarray(space[k]) for k in ("rel_l2", "cos_sim", "eff_rank", "eigvals")}
np.savez(sys.argv[2], **found)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPTS.is_dir(), reason="the acceptance scripts are not beside this checkout"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    done = {}

    def of(name, devices):
        if (name, devices) not in done:
            out = tmp_path_factory.mktemp("acceptance") / f"{name}{devices}.npz"
            env = {
                **os.environ,
                "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
            }
            command = [sys.executable, "-c", RUNNER, str(SCRIPTS / f"{name}.py"), str(out)]
            finished = subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)
            assert finished.returncode == 0, finished.stdout + finished.stderr
            done[name, devices] = dict(np.load(out))
        return done[name, devices]

    return of


@pytest.mark.parametrize("devices", [1, 3, 4, 8])
@pytest.mark.parametrize("name", ["seed_script", "seed_tutorial"])
def test_script(name, devices, runs):
    found, one = runs(name, devices), runs(name, 1)
    fired = {"seed_script": 50, "seed_tutorial": 25}[name]
    assert len(found["history/tracker_0"]) == fired
    np.testing.assert_array_equal(found["epochs/tracker_0"], np.arange(fired) * (5000 // fired))
    # Loss and tracker histories agree with those of one device to 1e-4 of each history's maximum.
    for key in one:
        if key.startswith("history/"):
            np.testing.assert_allclose(found[key], one[key], rtol=0, atol=1e-4 * np.abs(one[key]).max(), err_msg=key)
    if name == "seed_script":
        assert 4.5e-2 <= found["rel_l2"] <= 6e-2
        assert found["cos_sim"] == pytest.approx(-0.97, abs=0.01)
        assert found["history/tracker_0"][10] == pytest.approx(-0.18, abs=0.01)
        assert found["eff_rank"] == pytest.approx(1.22, abs=0.02)
        assert found["eigvals"][0] == pytest.approx(7.2e3, rel=0.01)
