"""The benchmarks as a whole: what is shipped with them, and other people's files."""

import math
from pathlib import Path

import numpy as np
import pytest

import tangrax as tx
from tangrax.problems.pinnacle import published
from tangrax.problems.stored import stored

# What docs/pinnacle.md says of the one that misses: a medium of 256² pixels, from whose edges kinks run.
COARSE = {"pinnacle/wave2d-cg": 6e-3}
DATA = sorted(Path(tx.problems.library.__file__).parent.glob("*/data/*.npz"))


@pytest.mark.parametrize("path", DATA, ids=lambda path: path.stem)
def test_what_is_kept(path):
    """Finite, small, and with the error that its problem states."""
    assert path.stat().st_size < 250_000
    name = f"{path.parts[-3]}/{path.stem}"
    reference, problem = stored(name), tx.problems.get(name)
    assert np.isfinite(reference.at).all() and np.isfinite(reference.values).all() and reference.method
    assert len(reference.at) == len(reference.values) >= 1500 and len(np.unique(reference.at, axis=0)) == len(
        reference.at
    )
    assert 0 < reference.error <= COARSE.get(name, 1e-3)
    np.testing.assert_allclose(problem.reference_error, reference.error, rtol=0.1)


def test_every_benchmark_states_what_is_published():
    for family in ("pinnacle", "dsgnar"):
        for name in tx.problems.names(family):
            problem = tx.problems.get(name)
            assert name.startswith(f"{family}/") and 0 < problem.published < 2 and problem.published_by
            assert math.isnan(problem.reference_error) == name.endswith("-literal")


def test_files_of_others(tmp_path, monkeypatch):
    """A file of two nodes and two times by hand; one row has no value."""
    header = "% Model\n% X Y u (m/s) @ t=0 v (m/s) @ t=0 p (Pa) @ t=0 u (m/s) @ t=0.5 v (m/s) @ t=0.5 p (Pa) @ t=0.5\n"
    (tmp_path / "ns_long.dat").write_text(header + "1 2 3 4 5 6 7 8\n-1 -2 -3 -4 -5 -6 NaN -8\n")
    monkeypatch.setenv("TANGRAX_PINNACLE", str(tmp_path))
    at, values = published("pinnacle/ns2d-lt")
    np.testing.assert_array_equal(at, [[1, 2, 0], [-1, -2, 0], [1, 2, 0.5]])
    np.testing.assert_array_equal(values, [[3, 4, 5], [-3, -4, -5], [6, 7, 8]])
    assert published("pinnacle/ks") is None and published("pinnacle/pnd") is None
    (tmp_path / "Kuramoto_Sivashinsky.dat").write_text("0 1 2 3\n")
    with pytest.raises(ValueError, match=r"4 columns; 2 coordinates and 1 outputs at 1 times are 3"):
        published("pinnacle/ks")
    monkeypatch.delenv("TANGRAX_PINNACLE")
    assert published("pinnacle/ns2d-lt") is None
