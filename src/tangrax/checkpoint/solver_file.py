"""Trained parameters on disk, one NumPy archive, and networks from it without the problem they were trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from .. import nn
from ..expr import Trainable
from . import archive
from .archive import Arrays, Damaged, OtherFormat
from .atomic_files import refuse_unwritable

MovedPoints = dict[str, tuple[str, int, np.ndarray]]  # by tag: of which domain, the epoch of the last move, coordinates


@dataclass(frozen=True)
class SolverFile:
    """Content of a file: networks as leaves in order and recipe, epoch, history as (epochs, values), moved points."""

    leaves: dict[str, dict[str, np.ndarray]]
    recipes: dict[str, Any]
    epoch: int
    history: dict[str, tuple[np.ndarray, np.ndarray]]
    points: MovedPoints


def save(path: str | Path, saved: SolverFile) -> None:
    """Write `path` by way of a temporary file beside it: a crash leaves the old file as it was."""
    arrays: Arrays = {}
    about: dict[str, Any] = {"epoch": saved.epoch, "networks": {}, "history": list(saved.history)}
    add_points(saved.points, about, arrays)
    for name, leaves in saved.leaves.items():
        about["networks"][name] = {"leaves": list(leaves), "recipe": saved.recipes.get(name)}
        for index, leaf in enumerate(leaves.values()):
            arrays[f"network/{name}/{index}"] = leaf
    for name, (epochs, values) in saved.history.items():
        arrays[f"epochs/{name}"], arrays[f"values/{name}"] = epochs, values
    refuse_unwritable(path)
    archive.write(Path(path), archive.SOLVER, about, arrays)


def read(path: str | Path) -> SolverFile:
    """Read what `save` wrote; raises ValueError for a file that is something else or damaged."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no saved solver at {path}: solver.save(path) writes one")
    try:
        about, arrays = archive.read(path, archive.SOLVER)
        with archive.reading(path):
            leaves = {
                name: {leaf: arrays[f"network/{name}/{i}"] for i, leaf in enumerate(network["leaves"])}
                for name, network in about["networks"].items()
            }
            if not leaves or not all(leaves.values()):
                raise ValueError("it holds no network, or one without parameters")
            recipes = {name: network["recipe"] for name, network in about["networks"].items()}
            history = {name: (arrays[f"epochs/{name}"], arrays[f"values/{name}"]) for name in about["history"]}
            return SolverFile(leaves, recipes, int(about["epoch"]), history, points_of(about, arrays))
    except (Damaged, OtherFormat) as error:
        raise type(error)(f"{error}. Save it anew with solver.save") from error


def add_points(points: MovedPoints, about: dict[str, Any], arrays: Arrays) -> None:
    """Add points that have moved to the metadata and arrays of a file."""
    about["points"] = {name: [domain, epoch] for name, (domain, epoch, _) in points.items()}
    arrays.update({f"points/{name}": coordinates for name, (_, _, coordinates) in points.items()})


def points_of(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> MovedPoints:
    """Return the points that `add_points` added; raises where the arrays are no points."""
    for name in about["points"]:
        array = arrays[f"points/{name}"]
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ValueError(f"points of '{name}' are {array.dtype} of shape {array.shape}")
    return {name: (domain, int(epoch), arrays[f"points/{name}"]) for name, (domain, epoch) in about["points"].items()}


def leaves_of(trainable: Trainable, parameters: PyTree) -> dict[str, np.ndarray]:
    """Return the parameters of a network by the names of its leaves."""
    return dict(zip(trainable.leaf_names, map(np.asarray, jax.tree.leaves(parameters)), strict=True))


def matched(
    saved: SolverFile, names: Mapping[str, Trainable], dtype: np.dtype, path: str | Path
) -> dict[Trainable, Any]:
    """Return parameters for a problem's networks; ValueError where the file is of others, or of a higher precision."""
    if set(names) != set(saved.leaves):
        raise ValueError(f"{path} holds {sorted(saved.leaves)}, this problem has {sorted(names)}. Nothing was loaded")
    new = {names[name]: restored(names[name], leaves, path) for name, leaves in saved.leaves.items()}
    for leaf in jax.tree.leaves(list(new.values())):
        if leaf.dtype.itemsize > dtype.itemsize:
            raise ValueError(
                f"{path} holds {leaf.dtype} parameters and this run has {dtype}: call "
                f'tx.setup(dtype="{leaf.dtype}") first. Nothing was loaded'
            )
    return new


def restored(trainable: Trainable, leaves: Mapping[str, np.ndarray], path: str | Path) -> PyTree:
    """Return saved leaves as parameters of `trainable`; ValueError, with differences, if they are another network's."""
    expected = dict(zip(trainable.leaf_names, trainable.leaf_shapes, strict=True))
    shapes = {name: leaf.shape for name, leaf in leaves.items()}
    if expected != shapes:
        differ = [
            f"{name}: {shapes.get(name, 'absent')} in the file, {expected.get(name, 'absent')} in the network"
            for name in sorted({*expected, *shapes})
            if expected.get(name) != shapes.get(name)
        ]
        more = f", and {len(differ) - 4} more" if len(differ) > 4 else ""
        detail = "; ".join(differ[:4]) or "its leaves come in another order"
        raise ValueError(f"{path} holds another network than '{trainable.name}': {detail}{more}. Nothing was loaded")
    return jax.tree.structure(trainable.initial).unflatten(list(leaves.values()))


def load(path: str | Path, like: PyTree = None) -> PyTree:
    """Loads a trained network from a file that `solver.save` wrote, without the problem it was trained on.

    Args:
        path: the file.
        like: a module of the same architecture, or a dict from names to modules; not needed for networks made by
            `tx.nn.mlp` and its like.

    Returns:
        The module with its trained parameters, in the precision that they were trained in; a dict by name if the file
        holds several. A parameter of the problem is an array.

    Raises:
        OSError: there is no such file.
        ValueError: the file is damaged, or holds another network than `like`, or its architecture is not known.
    """
    saved = read(path)
    networks = {}
    for name, leaves in saved.leaves.items():
        recipe = saved.recipes[name]
        pattern = like.get(name) if isinstance(like, dict) else like
        if pattern is None and recipe is not None:
            with archive.reading(Path(path)):
                pattern = nn.from_recipe(recipe, leaves)
        if pattern is None:
            if not any(leaf for leaf in leaves):
                networks[name] = next(iter(leaves.values())).copy()  # what is read cannot be changed
                continue
            raise ValueError(
                f"{path}: '{name}' was not made by tx.nn.mlp or its like, so the file does not tell its architecture: "
                f"give tx.load(path, like=module) with a module of the same kind"
            )
        trainable = pattern.trainable if isinstance(pattern, nn.Network) else nn.wrap(pattern, name=name).trainable
        networks[name] = rebuilt(trainable, restored(trainable, leaves, path))
    return networks if len(networks) > 1 else next(iter(networks.values()))


def rebuilt(trainable: Trainable, parameters: PyTree) -> PyTree:
    """Return a network or module with other parameters."""
    return eqx.combine(parameters, trainable.module)
