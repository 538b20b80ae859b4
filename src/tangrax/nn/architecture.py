"""Networks built from the recipes in saved files."""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from .layers import ACTIVATIONS
from .mlp import MLP
from .modified_mlp import ModifiedMLP
from .pirate_net import PirateNet
from .siren import Siren

KINDS: dict[str, Callable[..., Any]] = {"mlp": MLP, "modified_mlp": ModifiedMLP, "siren": Siren, "pirate": PirateNet}


def from_recipe(recipe: dict[str, Any], leaves: Mapping[str, Any] | None = None) -> PyTree:
    """A module of the same architecture as the one that the recipe is of, to be filled with saved parameters.

    Raises ValueError where these, the `leaves` of a file, are not of its shapes, before anything of its size is made.
    """
    arguments = dict(recipe)
    kind = arguments.pop("kind", "mlp")  # files of the first versions name none
    if kind not in KINDS:
        raise ValueError(
            f"a saved network is of kind '{kind}', this version of Tangrax has {', '.join(KINDS)}: load it with the "
            f"version that saved it, or with tx.load(path, like=module)"
        )
    if "activation" in arguments:
        name = arguments["activation"]
        if name not in ACTIVATIONS:
            raise ValueError(f"a saved network has the activation {name!r}, known are {', '.join(ACTIVATIONS)}")
        arguments["activation"] = ACTIVATIONS[name]
    if arguments.get("frequencies") is not None:
        arguments["frequencies"] = tuple(tuple(map(float, row)) for row in arguments["frequencies"])
    make = partial(KINDS[kind], **arguments, key=jax.random.key(0))
    if leaves is not None:
        _refuse_other_shapes(make, recipe, leaves)
    return make()


def _refuse_other_shapes(make: Callable[[], Any], recipe: dict[str, Any], leaves: Mapping[str, Any]) -> None:
    """A few bytes of text may ask for a network that fills the memory, or for layers without end."""
    saved_shapes = sorted(np.shape(leaf) for leaf in leaves.values())
    with contextlib.suppress(TypeError, ValueError, OverflowError):  # what no network is made of
        layers = max(recipe.get("depth", 0), recipe.get("blocks", 0))
        if layers <= len(saved_shapes):  # each has a leaf or more
            shapes = [leaf.shape for leaf in jax.tree.leaves(eqx.filter_eval_shape(make)) if hasattr(leaf, "shape")]
            if sorted(shapes) == saved_shapes:
                return
    raise ValueError(f"a saved network tells of itself {recipe}, and its parameters are of other shapes")
