"""Which parameters of a network a mask selects."""

from typing import Any

import jax

from ..expr import Trainable, is_parameter


def mask_flags(trainable: Trainable, mask: Any) -> tuple[bool, ...]:
    """One flag per parameter leaf, from a tree of bools built like the module or like its parameters.

    The two differ where a module has leaves that are no parameters (activations, numbers): what the mask
    says of those is ignored.
    """
    like_parameters = jax.tree.structure(trainable.initial)
    like_module = jax.tree.structure(trainable.module)
    given = jax.tree.structure(mask)
    if given not in (like_parameters, like_module):
        raise ValueError(
            f"mask of '{trainable.name}' has another structure than the network: its {given.num_leaves} leaves are "
            f"arranged neither like the {like_parameters.num_leaves} of net.params nor like the "
            f"{like_module.num_leaves} of net.module. Build it with jax.tree.map(lambda _: False, net.params) and "
            f"eqx.tree_at(...)"
        )
    leaves = jax.tree.leaves(mask)
    for leaf in leaves:
        if not isinstance(leaf, bool):
            raise TypeError(f"mask of '{trainable.name}': {leaf!r} is no bool; a mask has one True or False a leaf")
    if given != like_parameters:
        of_module = jax.tree.leaves(trainable.module)
        leaves = [flag for flag, leaf in zip(leaves, of_module, strict=True) if is_parameter(leaf)]
    if not any(leaves):
        raise ValueError(
            f"mask of '{trainable.name}' selects no parameter: set at least one of "
            f"{', '.join(trainable.leaf_names)} to True, or use mask(None) for all"
        )
    return tuple(leaves)
