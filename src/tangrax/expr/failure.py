"""Explains exceptions of users' functions: cause, mend and line."""

import linecache
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

LIBRARIES = {"tangrax", "jax", "jaxlib", "equinox", "numpy", "jaxtyping", "beartype", *sys.stdlib_module_names}
ADVICE: dict[type[Exception], str] = {
    jax.errors.TracerBoolConversionError: "no value is known while a function is compiled: choose by jnp.where, not if",
    jax.errors.TracerArrayConversionError: "NumPy cannot compute with it: take the function of jax.numpy",
    jax.errors.ConcretizationTypeError: "no value is known while a function is compiled: leave it an array of JAX",
}
KEYLESS = "networks are called without a random key: give eqx.nn.inference_mode(module)"


def shape_of(function: Callable[..., Any], structs: PyTree, refusal: Callable[[Exception], str]) -> Any:
    """Shape and type of what a function returns; ValueError with the text of `refusal` where it raises."""
    try:
        return jax.eval_shape(function, *structs)
    except Exception as error:
        raise ValueError(refusal(error)) from error


def succeeds(function: Callable[..., Any], *structs: Any) -> bool:
    """Whether a function takes such arguments."""
    try:
        jax.eval_shape(function, *structs)
    except Exception:
        return False
    return True


def as_array(output: Any) -> jax.Array:
    """What a user's function returned; TypeError unless it is one array or number."""
    if not eqx.is_array_like(output):
        raise TypeError(f"it returns {type(output).__name__}: give one array")
    return jnp.asarray(output)


def is_of_shapes(error: Exception) -> bool:
    """Whether the shapes of arguments can be to blame: not for an error of JAX that values are not known."""
    of_jax = (jax.errors.JAXTypeError, jax.errors.JAXIndexError)
    return isinstance(error, (TypeError, ValueError, IndexError)) and not isinstance(error, of_jax)


def explanation(error: Exception, function: object = None) -> str:
    """The exception, what to do about it where that is known, and the user's line; else where `function` begins."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    advice = next((text for kind, text in ADVICE.items() if isinstance(error, kind)), "")
    if isinstance(error, RuntimeError) and "requires a key" in first_line:
        advice = KEYLESS
    parts = [f"{type(error).__name__}: {first_line}".rstrip(": "), advice, _line(error, function)]
    return "; ".join(part.rstrip(".") for part in parts if part)


def is_library(frame: FrameType) -> bool:
    """Whether code is of a library: no one who wrote an equation can mend it."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES


def _line(error: Exception, function: Any) -> str:
    """The innermost of the user's lines that led to an exception, as "at file:line: source"."""
    lines = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__) if not is_library(f)]
    code = getattr(function, "__code__", None)
    if not lines and code is not None and function.__module__.partition(".")[0] not in LIBRARIES:
        lines = [(code.co_filename, code.co_firstlineno)]
    if not lines:
        return ""
    file, number = lines[-1]
    return f"at {file}:{number}: {linecache.getline(file, number).strip()}".rstrip(": ")
