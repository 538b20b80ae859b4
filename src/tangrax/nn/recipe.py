"""Networks from what saved files tell of them."""

from collections.abc import Callable
from typing import Any

import jax

from .layers import ACTIVATIONS
from .mlp import MLP
from .modified import ModifiedMLP
from .pirate import PirateNet
from .siren import Siren

KINDS: dict[str, Callable[..., Any]] = {"mlp": MLP, "modified_mlp": ModifiedMLP, "siren": Siren, "pirate": PirateNet}


def from_recipe(recipe: dict[str, Any]) -> Any:
    """A module of the same architecture as the one that the recipe is of, to be filled with saved parameters."""
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
    return KINDS[kind](**arguments, key=jax.random.key(0))
