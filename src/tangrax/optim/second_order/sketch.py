"""Random sketches of J, of a size that can be decomposed in every step: of its columns, and of its rows.

Both are linear in the rows of J, so that shards sketch their own rows and one all-reduce adds them up.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.fft import dct, idct
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, Int


@dataclass(frozen=True)
class CosineSketch:
    """A subsampled randomised cosine transform: some of the orthonormal coordinates D(σ v) of a vector v.

    D is the orthonormal cosine transform, σ are random signs. Halko, Martinsson, Tropp, SIAM Review 53 (2011), 4.6.
    """

    signs: Float[Array, " p"]
    indices: Int[Array, " m"]  # of the coordinates that are kept

    @property
    def size(self) -> int:
        return len(self.indices)

    @classmethod
    def sample(cls, key: ArrayLike, columns: int, size: int, dtype: DTypeLike) -> "CosineSketch":
        first, last = jax.random.split(key)
        signs = jax.random.rademacher(first, (columns,), dtype)
        return cls(signs, jax.random.choice(last, columns, (size,), replace=False))

    def of(self, rows: Float[Array, "n p"]) -> Float[Array, "n m"]:
        """The kept coordinates of each row."""
        return dct(rows * self.signs[None], norm="ortho")[:, self.indices]

    def back(self, coordinates: Float[Array, "n m"]) -> Float[Array, "n p"]:
        """The vectors that have these coordinates, and zeros for all others: the transpose of `of`."""
        spread = jnp.zeros((len(coordinates), len(self.signs)), coordinates.dtype)
        return idct(spread.at[:, self.indices].set(coordinates), norm="ortho") * self.signs[None]


@dataclass(frozen=True)
class FullSpace:
    """All parameters, unchanged."""

    size: int

    def of(self, rows: Float[Array, "n p"]) -> Float[Array, "n p"]:
        return rows

    def back(self, coordinates: Float[Array, "n p"]) -> Float[Array, "n p"]:
        return coordinates


def count_sketch(
    key: ArrayLike, index: ArrayLike, components: int, rows: Float[Array, "n m"], size: int
) -> Float[Array, "size m"]:
    """Rows added up, with random signs, in `size` random buckets: a count sketch.

    `index` numbers the points of the rows, `components` rows each: a point's buckets depend on its number alone, so
    that they are the same on any number of shards. Clarkson and Woodruff, J. ACM 63 (2017).
    """

    def bucket_and_sign(number: Any) -> Any:
        first, last = jax.random.split(jax.random.fold_in(key, number))
        return jax.random.randint(first, (components,), 0, size), jax.random.rademacher(last, (components,), rows.dtype)

    bucket, sign = jax.vmap(bucket_and_sign)(index)
    return jax.ops.segment_sum(rows * sign.reshape(-1, 1), bucket.reshape(-1), num_segments=size)
