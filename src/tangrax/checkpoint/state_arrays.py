"""What training is made of at one epoch, as arrays of the host, and back."""

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
    """A state by the names of its leaves; what single points have in the points' order, without padding.

    Where that is sharded over processes, only the one that writes has it: all of them take part.
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
    """Raise where what a file tells is no checkpoint of an epoch, or its arrays are not what it tells of them."""
    if about["epoch"] != epoch:
        raise ValueError(f"it is the checkpoint of epoch {about['epoch']}")
    for key, kind in {"problem": list, "optimizers": dict, "trackers": dict, "leaves": dict, "points": dict}.items():
        if not isinstance(about[key], kind):
            raise TypeError(f"'{key}' is {about[key]!r}")
    for path, (shape, dtype, _) in about["leaves"].items():
        array = arrays[path]
        if list(array.shape) != shape or array.dtype.itemsize != jnp.dtype(dtype).itemsize:
            raise ValueError(f"{path}: {_said([array.shape, array.dtype])} where it tells of {_said([shape, dtype])}")
    points_of(about, arrays)


def from_arrays(
    facts: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    fresh: State,
    loop: Loop,
    name: str,
    epoch: int,
) -> State:
    """The state that was taken, on the devices of now; `fresh` is one of this problem at its beginning.

    Fresh are what is not trained and settings of optax.inject_hyperparams, which no step changes. A schedule that is
    new begins at the updates counted round it, or else at `epoch`; the count of one that has gone is dropped. Raises
    ValueError, naming what differs else.
    """
    wanted: dict[str, Any] = {}
    leaves = _leaves(fresh, loop, name)
    for path, leaf, layout in leaves:
        raw, key = _plain(leaf)
        shape = list(raw.shape) if layout is None else [layout.count, *raw.shape[1:]]
        wanted[path] = [shape, str(raw.dtype), key]
    found = {path: list(fact) for path, fact in facts.items() if path.startswith(f"{name}.")}
    trained = {selection.trainable for selection in loop.problem.optimizer.wrt}
    steady = tuple(f"{name}.parameters[{i}]" for i, t in enumerate(loop.problem.trainables) if t in trained)

    def loose(path: str) -> bool:
        return path.startswith(f"{name}.parameters[") and not path.startswith(steady)

    own = {path for path in wanted if loose(path) or _is_setting(path, wanted.keys() & found.keys())}
    begun = {path for path in wanted.keys() - found.keys() if _counts(path, name)}
    counted = {path: arrays[path] for path in found if path.endswith(COUNTS)}
    found = {path: fact for path, fact in found.items() if path in wanted or not (loose(path) or _counts(path, name))}
    found |= {path: wanted[path] for path in own | begun}
    if found != wanted:
        differ = [path for path in dict.fromkeys([*found, *wanted]) if found.get(path) != wanted.get(path)]
        told = [f"{path}: {_said(found.get(path))} there, {_said(wanted.get(path))} here" for path in differ]
        more = f", and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise ValueError(f"it is of another network, optimizer or balancing: {'; '.join(told[:3])}{more}")
    new = []
    for path, leaf, layout in leaves:
        _, dtype, key = wanted[path]
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
    """Whether a leaf is the count of one of optax's transformations: of those of one kind, schedules alone differ."""
    return path.startswith(f"{name}.optimizers") and path.endswith(".count")


def _is_setting(path: str, paths: Container[str]) -> bool:
    """Whether a leaf is a number that optax.inject_hyperparams was given, not what a schedule of before came to."""
    found = INJECTED.search(path)
    return found is not None and f"{path[: found.start()]}.hyperparams_states{found[1]}.count" not in paths


def _updates(path: str, counted: Mapping[str, Any], epoch: int) -> Any:
    """The updates that the transformations round a leaf have counted, the nearest of them; else the epoch."""
    way = KEY.findall(path)
    near = [(KEY.findall(other), count) for other, count in counted.items()]
    near = [(keys, count) for keys, count in near if keys[:2] == way[:2] and keys[:-2] == way[: len(keys) - 2]]
    return max(near, key=lambda each: len(each[0]), default=(way, epoch))[1]


def _plain(leaf: Any) -> tuple[Any, str | None]:
    """A leaf as numbers, and the kind of random key that it is."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(leaf), str(jax.random.key_impl(leaf))
    return leaf, None


def _leaves(state: State, loop: Loop, name: str) -> list[tuple[str, Any, Layout | None]]:
    """Leaves with their names, in the order of the tree; of those with a row for each point, how these are dealt."""
    tags: Sequence[PointSet] = [tag for each in loop.problem.rules for tag in each.rule.columns]
    columns = [column for guide in state.rows for column in guide]
    dealt = [
        loop.problem.layouts[tag] for tag, column in zip(tags, columns, strict=True) for _ in jax.tree.leaves(column)
    ]
    paths = [(name + jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]]
    same = len(paths) - len(dealt)  # `rows` is the last field of a state
    return [(path, leaf, None if i < same else dealt[i - same]) for i, (path, leaf) in enumerate(paths)]


def _said(fact: Sequence[Any] | None) -> str:
    return "nothing" if fact is None else f"{fact[1]}{list(fact[0])}"
