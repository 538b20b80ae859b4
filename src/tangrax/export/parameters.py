"""Trained parameters as arrays with names."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ..checkpoint.archive import Arrays
from ..expr import checked_name


def by_name(networks: Mapping[str, Any]) -> Arrays:
    """Return trees of parameters as arrays by "network/path/to/leaf"; one that is a single array by its name."""
    arrays: Arrays = {}
    for name, tree in networks.items():
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            where = jax.tree_util.keystr(path, simple=True, separator="/")
            key = checked_name("export", f"{name}/{where}" if where else name)  # keys of a module's dicts are anything
            if key in arrays:
                raise ValueError(f"export: two arrays would be called '{key}': give a network or a key another name")
            arrays[key] = np.asarray(leaf)
    return arrays
