"""Real numbers, and nothing else, from what a user gives."""

from typing import Any

import numpy as np

TWO_FIELDS = "there are real numbers alone here: write a complex value as two real ones, its real and imaginary part"


def real(what: str, values: Any) -> np.ndarray:
    """Values as float64; TypeError for complex ones, of which NumPy would drop the imaginary part."""
    array = np.asarray(values)
    refuse_complex(what, array.dtype)
    return np.asarray(array, dtype=np.float64)


def refuse_complex(what: str, dtype: Any) -> None:
    """Raise TypeError where `what` has complex numbers."""
    if np.dtype(dtype).kind == "c":
        raise TypeError(f"{what}: complex numbers ({dtype}); {TWO_FIELDS}")
