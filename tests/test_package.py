"""The package as a user gets it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from launching import PATIENCE

ROOT = Path(__file__).parent.parent


@pytest.mark.processes
def test_import_touches_nothing():
    """No device contact, no configuration and no environment change at import."""
    code = """
import os, jax
state = lambda: (dict(os.environ), jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision)
before = state()
import tangrax
import jax._src.xla_bridge as bridge
assert not bridge._backends, "a backend was started"
assert before == state()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 0, run.stderr


def test_version_is_one():
    import tangrax

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == tangrax.__version__
    assert f"version: {tangrax.__version__}" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.slow
def test_wheel_in_an_empty_environment(tmp_path):
    """The wheel, with nothing but its own dependencies, solves a problem."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("tangrax-*.whl")
    run(sys.executable, "-m", "venv", "empty")
    python = str(tmp_path / "empty" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    code = """
import optax, tangrax as tx
x, _ = tx.domain.line(mesh_size=0.1).variable("interior")
net = tx.nn.mlp(1, width=4, depth=1)
solver = tx.core([(net(x) - x).mse], optimizer=optax.adam(1e-2)).solve(20, progress=False)
assert solver.history["loss"][-1] < solver.history["loss"][0]
print("solved", tx.__file__)
"""
    assert "empty" in run(python, "-c", code)
