"""Communication between the shards of one program: sum, gather, shift."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Int, PyTree


class Collectives(eqx.Module):
    """Communication between shards. No derivative may pass through any of these."""

    size: eqx.AbstractVar[int]

    @property
    @abc.abstractmethod
    def rank(self) -> Int[Array, ""] | int:
        """Index of this shard, 0 to size - 1."""

    @abc.abstractmethod
    def sum(self, tree: PyTree) -> PyTree:
        """Sum over all shards of every array of the tree, by one all-reduce."""

    @abc.abstractmethod
    def gather(self, rows: Array) -> Array:
        """The rows of all shards in the order of their ranks, on every shard."""

    @abc.abstractmethod
    def shift(self, tree: PyTree, k: int = 1, senders: range | None = None) -> PyTree:
        """Arrays of the shard k places before this one in the ring; zeros if it is not among the `senders`."""


class Local(Collectives):
    """One shard that holds everything."""

    size: int = eqx.field(static=True, default=1)

    @property
    def rank(self) -> int:
        return 0

    def sum(self, tree):
        return tree

    def gather(self, rows):
        return rows

    def shift(self, tree, k=1, senders=None):
        return tree


class Xla(Collectives):
    """Shards on the devices of a mesh axis, inside `jax.shard_map`."""

    size: int = eqx.field(static=True)
    axis: str = eqx.field(static=True)

    @property
    def rank(self):
        return jax.lax.axis_index(self.axis)

    def sum(self, tree):
        if not jax.tree.leaves(tree):
            return tree
        flat, unravel = ravel_pytree(tree)
        return unravel(jax.lax.psum(flat, self.axis))

    def gather(self, rows):
        return jax.lax.all_gather(jnp.asarray(rows), self.axis, tiled=True)

    def shift(self, tree, k=1, senders=None):
        ring = [(rank, (rank + k) % self.size) for rank in senders or range(self.size)]
        return jax.tree.map(lambda x: jax.lax.ppermute(x, self.axis, ring), tree)
