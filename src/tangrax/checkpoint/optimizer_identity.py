"""Kind and settings of an optimizer: a run may go on with other settings, not with another kind.

An optax optimizer is two functions. What they were made of is in their closures; of a user's functions, the names and
numbers in their code count too.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import CodeType, FunctionType, MethodType
from typing import Any

import jax
import numpy as np
import optax

from ..expr import Trainable
from ..optim import Settings, by_optimizer
from ..parallel import digest

RATES = tuple(f"{name}.<locals>.update_fn" for name in ("scale", "scale_by_schedule"))  # fixed or not: the same kind
LIBRARIES = ("optax", "jax", "equinox", "functools")
SCHEDULES, INJECTED = "sched_hps", "numeric_hps"  # variables of optax.inject_hyperparams
TRANSFORMATIONS = (optax.GradientTransformation, optax.GradientTransformationExtraArgs)
NUMBERS = (int, float, complex, np.number, np.ndarray, jax.Array)


@dataclass(frozen=True)
class Optimizer:
    """Kind of an optimizer in words, and its numbers and schedules by name."""

    kind: str
    settings: Mapping[str, str]


def optimizers_of(chosen: Mapping[Trainable, Any], names: Mapping[Trainable, str]) -> dict[str, Optimizer]:
    """Return the optimizers by the names of what each of them trains."""
    groups = by_optimizer(chosen)
    return {", ".join(names[member] for member in members): identified(optimizer) for optimizer, members in groups}


def identified(optimizer: object) -> Optimizer:
    """Return kind and settings of an optax transformation, or of an optimizer of Tangrax."""
    if isinstance(optimizer, Settings):
        values = {field.name: getattr(optimizer, field.name) for field in fields(optimizer)}  # pyright: ignore[reportArgumentType]
        texts = {name: _schedule(value, ()) if callable(value) else repr(value) for name, value in values.items()}
        return Optimizer(type(optimizer).__qualname__, texts)
    settings: dict[str, str] = {}
    kind = _kind("", optimizer, settings, ())
    for name, value in _injected(optimizer, ()):
        settings[_free(name, settings)] = _number(value)
    return Optimizer(kind, settings)


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of settings that differ."""
    return [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]


def _kind(name: str, value: Any, settings: dict[str, str], above: tuple[int, ...]) -> str:
    """Return the kind of a value in words; its settings are added to `settings`."""
    if id(value) in above:
        return "…"
    above = (*above, id(value))
    inner = None if isinstance(value, FunctionType) else getattr(value, "__wrapped__", None)
    if inner is not None:
        return _kind(name, inner, settings, above)  # compiled by jax.jit, or the like
    if isinstance(value, (bool, str, bytes, type(None), type(np.bool_))):
        return repr(value)
    if isinstance(value, NUMBERS):
        settings[_free(name, settings)] = _number(value)
        return ""
    if isinstance(value, TRANSFORMATIONS):  # whose update tells of its init
        return _kind(name, value.update, settings, above)
    if isinstance(value, FunctionType):
        return _function(name, value, settings, above)
    if isinstance(value, MethodType):
        return _joined(value.__qualname__, vars(value.__self__).items(), settings, above)
    return _joined(_called(value), _parts(value), settings, above)


def _function(name: str, value: FunctionType, settings: dict[str, str], above: tuple[int, ...]) -> str:
    library = _of_library(value)
    called = value.__qualname__.removesuffix(".<locals>.update_fn").removesuffix(".<locals>.update")
    free = dict(_closure(value))
    if called == "with_extra_args_support":
        return _kind(name, free["tx"], settings, above)
    if library and value.__qualname__ in RATES:
        (size,) = free.values()
        settings[_free("step_size", settings)] = _schedule(size, above) if callable(size) else _number(size)
        return "scale"
    for each, schedule in free.pop(SCHEDULES, {}).items():
        settings[_free(each, settings)] = _schedule(schedule, above)
    if library:
        return _joined(called, free.items(), settings, above)
    settings[_free(f"code of {called}", settings)] = _code(value.__code__)
    return _joined(f"{called}[{' '.join(_names(value.__code__))}]", _referenced(value, free), settings, above)


def _schedule(schedule: Any, above: tuple[int, ...]) -> str:
    """Return a schedule as one setting: its kind, and the numbers in it."""
    inside: dict[str, str] = {}
    return f"{_kind('', schedule, inside, above)} of {', '.join(inside.values())}"


def _of_library(function: FunctionType) -> bool:
    return str(function.__module__).partition(".")[0] in LIBRARIES


def _referenced(function: FunctionType, free: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a user's function computes with: its closure, defaults, numbers and functions that it names."""
    yield from free.items()
    code = function.__code__
    optional = code.co_varnames[: code.co_argcount][code.co_argcount - len(function.__defaults__ or ()) :]
    yield from zip(optional, function.__defaults__ or (), strict=True)
    yield from (function.__kwdefaults__ or {}).items()
    for name in _names(code):
        value = function.__globals__.get(name)
        plain = getattr(value, "__wrapped__", value)
        if isinstance(value, (str, *NUMBERS)) or (isinstance(plain, FunctionType) and not _of_library(plain)):
            yield name, value


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _names(code: CodeType) -> list[str]:
    return list(dict.fromkeys(name for each in _nested(code) for name in each.co_names))


def _code(code: CodeType) -> str:
    """Return a digest of code, and the numbers in it."""
    parts = list(_nested(code))
    numbers = [f"{number:.10g}" for part in parts for number in part.co_consts if type(number) in (int, float)]
    return f"{hashlib.sha256(b''.join(part.co_code for part in parts)).hexdigest()[:8]} of {', '.join(numbers)}"


def _joined(called: str, parts: Any, settings: dict[str, str], above: tuple[int, ...]) -> str:
    words = []
    for name, part in parts:
        kind = _kind(name, part, settings, above)
        if kind:
            bare = name.isdigit() or isinstance(part, (tuple, list)) or "(" in kind
            words.append(kind if bare else f"{name}={kind}")
    return f"{called}({', '.join(words)})" if called and words else called or ", ".join(words)


def _injected(value: Any, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Yield the numbers for optax.inject_hyperparams: they are in its state, and its `init` has them."""
    if id(value) in above:
        return
    above = (*above, id(value))
    if isinstance(value, TRANSFORMATIONS):
        yield from _injected(value.init, above)
    elif isinstance(value, FunctionType):
        for name, part in _closure(value):
            if name == INJECTED:
                yield from part.items()
            else:
                yield from _injected(part, above)
    elif not isinstance(value, NUMBERS):
        inside = vars(value.__self__).items() if isinstance(value, MethodType) else _parts(value)
        for _, part in inside:
            yield from _injected(part, above)


def _number(value: Any) -> str:
    array = np.asarray(value)
    return f"{array.item():.10g}" if array.ndim == 0 else digest(array)[:8]


def _closure(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that was never given a value
            continue


def _called(value: Any) -> str:
    if isinstance(value, functools.partial):
        return getattr(value.func, "__qualname__", type(value.func).__qualname__)
    if isinstance(value, (tuple, list)):
        return ""
    return value.__qualname__ if callable(value) and hasattr(value, "__qualname__") else type(value).__qualname__


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of any other object, by name."""
    match value:
        case functools.partial():
            yield from ((str(place), each) for place, each in enumerate(value.args))
            yield from value.keywords.items()
        case Mapping():
            yield from ((str(key), each) for key, each in value.items())
        case tuple() | list():
            names = getattr(value, "_fields", [str(place) for place in range(len(value))])
            yield from zip(names, value, strict=True)
        case _ if is_dataclass(value) and not isinstance(value, type):
            yield from ((f.name, getattr(value, f.name)) for f in fields(value))
        case _ if not isinstance(value, type) and hasattr(value, "__dict__"):
            yield from vars(value).items()


def _free(name: str, settings: Mapping[str, str]) -> str:
    """Return the name, with a number if it is taken: two transformations may have settings of one name."""
    number = 2
    candidate = name
    while candidate in settings:
        candidate, number = f"{name} ({number})", number + 1
    return candidate
