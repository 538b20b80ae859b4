"""Predicted memory, operations and traffic of the programs in lanczos.py."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from .cost_model import split_leaves
from .gram import CHUNK, Rows
from .lanczos import PASS
from .plan import Cost
from .weight_factors import Split, factors_at
from .weight_tracing import trace_weights


def lanczos_cost(rows: Rows, steps: int, repeats: int = 1) -> Cost:
    """Cost of `steps` products with JᵀJ, from each of `repeats` starting vectors."""
    columns = sum(int(np.size(leaf)) for leaf in rows.leaves)
    item = np.dtype(jnp.result_type(*rows.leaves)).itemsize
    vectors = (2 * steps + 8) * columns * item
    factorable = split_leaves([trace_weights(rows.function, rows.leaves, rows.one)], rows.leaves, None)
    temporaries = int(_bytes_per_chunk(rows, factorable) / min(CHUNK, rows.layout.rows) * min(PASS, rows.layout.rows))
    # A product with J and one with its transpose cost three evaluations each, of two operations a parameter and use.
    flops = 12.0 * (rows.layout.rows * rows.components) * columns * steps * repeats
    moved = columns * item * steps * repeats if rows.layout.shards > 1 else 0
    return Cost(vectors + temporaries, flops, moved)


def _bytes_per_chunk(side: Rows, chosen: Split) -> int:
    """Bytes of all intermediate arrays of a chunk's factors, as if nothing were freed."""
    count = min(CHUNK, side.layout.rows)
    points = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), side.one)
    at = jax.vmap(lambda point: factors_at(side.function, side.leaves, point, chosen))
    jaxpr = jax.make_jaxpr(at)(points).jaxpr
    return sum(math.prod(v.aval.shape) * v.aval.dtype.itemsize for e in jaxpr.eqns for v in e.outvars)  # pyright: ignore[reportAttributeAccessIssue]
