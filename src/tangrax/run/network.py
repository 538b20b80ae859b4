"""Trained networks from files, without the problem they were trained on."""

from pathlib import Path
from typing import Any

import equinox as eqx

from .. import nn
from ..expr import Trainable
from .archive import reading
from .checkpoint import read, restored


def load(path: str | Path, like: Any = None) -> Any:
    """A trained network from a file that `solver.save` wrote, without the problem it was trained on.

    Networks made by `tx.nn.mlp` and its like need only the path. For others give `like`, a module of the same
    architecture (or a dict from names to modules). Returns the module, or a dict by name if the file holds several.
    """
    saved = read(path)
    found = {}
    for name, leaves in saved.leaves.items():
        recipe = saved.recipes[name]
        pattern = like.get(name) if isinstance(like, dict) else like
        if pattern is None and recipe is not None:
            with reading(Path(path)):
                pattern = nn.from_recipe(recipe, leaves)
        if pattern is None:
            if not any(leaf for leaf in leaves):
                found[name] = next(iter(leaves.values())).copy()  # what is read cannot be changed
                continue
            raise ValueError(
                f"{path}: '{name}' was not made by tx.nn.mlp or its like, so the file does not tell its architecture: "
                f"give tx.load(path, like=module) with a module of the same kind"
            )
        trainable = pattern.trainable if isinstance(pattern, nn.Network) else nn.wrap(pattern, name=name).trainable
        found[name] = rebuilt(trainable, restored(trainable, leaves, path))
    return found if len(found) > 1 else next(iter(found.values()))


def rebuilt(trainable: Trainable, parameters: Any) -> Any:
    """A network or module with other parameters."""
    return eqx.combine(parameters, trainable.module)
