"""Arrays that a user gives: real numbers, and all of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike

Place = tuple[int, ...]
TWO_FIELDS = "there are real numbers alone here: write a complex value as two real ones, its real and imaginary part"


def checked_array(what: str, values: Any, dtype: DTypeLike | None = None) -> np.ndarray:
    """Numbers as a NumPy array; ValueError where one is masked, since what stands beneath the mask is no data.

    `what` names them in errors. TypeError for complex numbers and, of a type of floats, dates: their conversion drops a
    part, or a unit. ValueError for what are no numbers, or too large ones, and for rows of several lengths.
    """
    refuse_masked(what, values)
    array = _converted(what, values)
    refuse_complex(what, array.dtype)
    if dtype is not None and array.dtype.kind in "mM":
        raise TypeError(f"{what} holds {array.dtype}, times with a unit: give numbers, such as seconds since the first")
    return _converted(what, array, dtype)


def _converted(what: str, values: Any, dtype: Any = None) -> np.ndarray:
    try:
        return np.asarray(values, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{what}: give real numbers, in rows of one length ({error})") from None


def as_jax(array: Any) -> jax.Array:
    """A NumPy array as one of JAX, which does not change with it; what JAX has already, as it is.

    `jnp.asarray` compiles a copy for each shape it meets, which JAX keeps as long as the process lives.
    """
    if isinstance(array, (jax.Array, Tracer)):
        return jnp.asarray(array)
    copied = np.array(array)
    return jax.device_put(copied.astype(jax.dtypes.canonicalize_dtype(copied.dtype), copy=False))


def refuse_complex(what: str, dtype: DTypeLike) -> None:
    """Raise TypeError where `what` has complex numbers, of which a conversion would drop the imaginary part."""
    if np.dtype(dtype).kind == "c":
        raise TypeError(f"{what}: complex numbers ({dtype}); {TWO_FIELDS}")


def refuse_masked(what: str, values: object) -> None:
    """Raise where a masked array, or a list of such, has an entry that is masked."""
    place = _masked(values)
    if place is not None:
        entry = f"entry {', '.join(map(str, place))}" if place else "the value"
        raise ValueError(
            f"{what}: {entry} is masked, and has no value: leave out what was not measured, or fill it with a number "
            f"that you mean, by .filled(…)"
        )


def _masked(values: Any, at: Place = ()) -> Place | None:
    """Where the first entry stands that is masked."""
    if isinstance(values, np.ma.MaskedArray):
        masked = np.argwhere(np.ma.getmaskarray(values))
        return (*at, *masked[0].tolist()) if len(masked) else None
    if isinstance(values, (list, tuple)):
        places = (_masked(entry, (*at, index)) for index, entry in enumerate(values))
        return next((place for place in places if place is not None), None)
    return None
