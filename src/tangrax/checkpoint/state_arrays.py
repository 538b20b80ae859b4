"""States of training as arrays on the host, and back."""

import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..expr import PointSet, as_jax
from ..parallel import Layout
from ..solve import Loop, State
from .archive import Arrays
from .solver_file import points_of

INJECTED = re.compile(r"\.hyperparams(\['\w+'\])$")  # settings in the state of optax.inject_hyperparams
KEY = re.compile(r"\.\w+|\[[^\]]*\]")  # one step on the way to a leaf
COUNTS = ".count", ".gradient_step"  # of updates, in the states of optax's transformations
Facts = dict[str, list[Any]]  # of each leaf: shape, dtype, and the kind of random key if it is one


def to_arrays(state: State, loop: Loop, name: str) -> tuple[Facts, Arrays]:
    """Return a state as arrays by the names of its leaves; per-point ones in the points' order, without padding.

    Per-point arrays are gathered by all processes; only the one that writes has them.
    """
    facts: Facts = {}
    arrays: Arrays = {}
    for path, leaf, layout in _leaves(state, loop, name):
        raw, key = _plain(leaf)
        if layout is None:
            array = np.asarray(raw)
        else:
            collected = loop.transport.collect(raw)
            array = np.zeros((0, *raw.shape[1:]), raw.dtype) if collected is None else collected[: layout.count]
        facts[path] = [list(array.shape), str(array.dtype), key]
        # Numbers that are not NumPy's own, such as bfloat16, would come back as bytes without a meaning.
        arrays[path] = array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array
    return facts, arrays


def check_checkpoint(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], epoch: int) -> None:
    """Raise where metadata are no checkpoint's of an epoch, or arrays differ from their description there."""
    if about["epoch"] != epoch:
        raise ValueError(f"it is the checkpoint of epoch {about['epoch']}")
    for key, kind in {"problem": list, "optimizers": dict, "trackers": dict, "leaves": dict, "points": dict}.items():
        if not isinstance(about[key], kind):
            raise TypeError(f"'{key}' is {about[key]!r}")
    for path, (shape, dtype, _) in about["leaves"].items():
        array = arrays[path]
        if list(array.shape) != shape or array.dtype.itemsize != jnp.dtype(dtype).itemsize:
            raise ValueError(f"{path}: {_text([array.shape, array.dtype])} where it tells of {_text([shape, dtype])}")
    points_of(about, arrays)


def from_arrays(
    facts: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    fresh: State,
    loop: Loop,
    name: str,
    epoch: int,
) -> State:
    """Return the state of `to_arrays` on the present devices; `fresh` is one of this problem at its beginning.

    What is not trained, and settings of optax.inject_hyperparams, are those of `fresh`. A new schedule begins at the
    updates counted round it, or else at `epoch`; the count of one that has gone is dropped. Raises ValueError, which
    names what else differs.
    """
    expected: dict[str, Any] = {}
    leaves = _leaves(fresh, loop, name)
    for path, leaf, layout in leaves:
        raw, key = _plain(leaf)
        shape = list(raw.shape) if layout is None else [layout.count, *raw.shape[1:]]
        expected[path] = [shape, str(raw.dtype), key]
    saved = {path: list(fact) for path, fact in facts.items() if path.startswith(f"{name}.")}
    trained = {selection.trainable for selection in loop.problem.optimizer.wrt}
    steady = tuple(f"{name}.parameters[{i}]" for i, t in enumerate(loop.problem.trainables) if t in trained)

    def loose(path: str) -> bool:
        return path.startswith(f"{name}.parameters[") and not path.startswith(steady)

    own = {path for path in expected if loose(path) or _is_setting(path, expected.keys() & saved.keys())}
    begun = {path for path in expected.keys() - saved.keys() if _counts(path, name)}
    counted = {path: arrays[path] for path in saved if path.endswith(COUNTS)}
    saved = {path: fact for path, fact in saved.items() if path in expected or not (loose(path) or _counts(path, name))}
    saved |= {path: expected[path] for path in own | begun}
    if saved != expected:
        differ = [path for path in dict.fromkeys([*saved, *expected]) if saved.get(path) != expected.get(path)]
        differences = [f"{path}: {_text(saved.get(path))} there, {_text(expected.get(path))} here" for path in differ]
        more = f", and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise ValueError(f"it is of another network, optimizer or balancing: {'; '.join(differences[:3])}{more}")
    new = []
    for path, leaf, layout in leaves:
        _, dtype, key = expected[path]
        if path in own:
            new.append(leaf)
            continue
        if path in begun:
            new.append(loop.transport.replicate(jnp.asarray(_updates(path, counted, epoch), dtype)))
            continue
        array = arrays[path] if arrays[path].dtype == dtype else arrays[path].view(jnp.dtype(dtype))
        if layout is not None:
            new.append(loop.transport.place(layout.pad(array)))
        else:
            value = as_jax(array)
            new.append(loop.transport.replicate(value if key is None else jax.random.wrap_key_data(value, impl=key)))
    return jax.tree.structure(fresh).unflatten(new)


def _counts(path: str, name: str) -> bool:
    """Return whether a leaf is the count of one of optax's transformations: of one kind, schedules alone differ."""
    return path.startswith(f"{name}.optimizers") and path.endswith(".count")


def _is_setting(path: str, paths: Container[str]) -> bool:
    """Return whether a leaf is a number for optax.inject_hyperparams, not the value of an earlier schedule."""
    match = INJECTED.search(path)
    return match is not None and f"{path[: match.start()]}.hyperparams_states{match[1]}.count" not in paths


def _updates(path: str, counted: Mapping[str, Any], epoch: int) -> Any:
    """Return the updates counted by the nearest transformation round a leaf; the epoch if there is none."""
    own = KEY.findall(path)
    near = [(KEY.findall(other), count) for other, count in counted.items()]
    near = [(keys, count) for keys, count in near if keys[:2] == own[:2] and keys[:-2] == own[: len(keys) - 2]]
    return max(near, key=lambda pair: len(pair[0]), default=(own, epoch))[1]


def _plain(leaf: Any) -> tuple[Any, str | None]:
    """Return a leaf as numbers, and the implementation of its random key if it is one."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(leaf), str(jax.random.key_impl(leaf))
    return leaf, None


def _leaves(state: State, loop: Loop, name: str) -> list[tuple[str, Any, Layout | None]]:
    """Return names, leaves, and layouts of per-point leaves, in the order of the tree."""
    tags: Sequence[PointSet] = [tag for scheduled in loop.problem.rules for tag in scheduled.rule.columns]
    columns = [column for rule in state.rows for column in rule]
    layouts = [
        loop.problem.layouts[tag] for tag, column in zip(tags, columns, strict=True) for _ in jax.tree.leaves(column)
    ]
    paths = [(name + jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]]
    replicated = len(paths) - len(layouts)  # `rows` is the last field of a state
    return [(path, leaf, None if i < replicated else layouts[i - replicated]) for i, (path, leaf) in enumerate(paths)]


def _text(fact: Sequence[Any] | None) -> str:
    return "nothing" if fact is None else f"{fact[1]}{list(fact[0])}"
