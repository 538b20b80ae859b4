"""The spectrum from singular values of J: resolves most, needs its rows."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ...parallel import decomposed, singular_values, singular_values_bytes, triangle
from ..eigenvectors import by_component, left_singular_vectors
from ..gram import over_chunks
from ..request_context import RequestContext
from ..spectrum import Spectrum
from .spectrum_way import SpectrumWay, truncated

LEAST = 256  # rows of a chunk that is folded into a triangle, where J has fewer columns


@dataclass(frozen=True, kw_only=True)
class SingularValuesWay(SpectrumWay):
    """QR and SVD of the rows of J; of a pointwise J with at least as many rows as columns a chunk of rows at a time."""

    pointwise_only: ClassVar[bool] = False
    chunked: bool

    @classmethod
    def plan(cls, context: RequestContext) -> "SingularValuesWay":
        rows, columns = context.jacobian.size, context.jacobian.columns
        size, item, smaller = context.evaluator.transport.size, context.evaluator.dtype.itemsize, min(rows, columns)
        name, flops = "singular values of J", 4.0 * max(rows, columns) * smaller**2 / size
        if context.pointwise and rows >= columns:
            chunk = max(columns, LEAST) * columns
            memory = item * ((3 + (size if size > 1 else 0)) * columns**2 + 3 * chunk)
            moved, note = item * (size - 1) * columns**2, "rows are formed a chunk at a time"
            return cls(name, memory, flops, moved, note, chunked=True)
        moved = item * (size - 1) * smaller * (smaller + -(-rows // size))
        return cls(name, singular_values_bytes(rows, columns, size, item), flops, moved, chunked=False)

    def spectrum(self, context: RequestContext) -> Spectrum:
        k, vectors = context.request.option("k"), context.request.option("vectors") or 0
        return truncated((self._by_chunks if self.chunked else self._by_rows)(context, vectors), k)

    def _by_rows(self, context: RequestContext, vectors: int) -> Spectrum:
        jacobian, columns = context.jacobian, context.jacobian.columns
        groups = [] if jacobian.group is None else [jacobian.group]
        values, *masks = context.values_on_devices(jacobian.rows, *groups)
        inside = masks[0].gather() if masks else np.ones(len(values), bool)
        rows = jacobian.components * int(np.sum(inside))
        if rows == 0:
            raise ValueError(f"{jacobian.rows}[{jacobian.group}]: the group holds none of the {len(inside)} points")
        result = singular_values(values, *masks, vectors=vectors)
        sizes, left = result if vectors else (result, None)
        if left is not None:
            left = by_component(left[np.repeat(inside, jacobian.components)], jacobian)
        sizes = np.asarray(sizes, np.float64)[: min(rows, columns)]
        return Spectrum(sizes, rows, columns, float(np.finfo(values.dtype).eps), vectors=left, way=self.name)

    def _by_chunks(self, context: RequestContext, vectors: int) -> Spectrum:
        """Each shard folds a chunk of rows at a time into its triangle."""
        jacobian, columns = context.jacobian, context.jacobian.columns

        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            dtype = jnp.result_type(*sides[0].leaves)

            def add(factor: Any, chunk: Any) -> Any:
                return jnp.linalg.qr(jnp.concatenate([factor, chunk.rows]), mode="r")

            empty = jnp.zeros((columns, columns), dtype)
            factor = over_chunks(sides[0], collectives.rank, add, empty, max(columns, LEAST))
            return triangle(collectives, factor, wide=False), ()

        factor, _ = context.run("singular values", (), body)
        values, right = decomposed(context.evaluator.transport, factor, vectors)
        left = left_singular_vectors(context, right, values) if vectors else None
        return Spectrum(values.astype(np.float64), jacobian.size, columns, context.eps, vectors=left, way=self.name)
