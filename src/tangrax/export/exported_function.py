"""A trained field as a function of new points, for programs that have JAX alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as stablehlo
from jaxtyping import Array, Float

from .. import lower
from ..expr import Node, Trainable, local_nodes, ops
from ..jacobian import RULES, Evaluator
from ..lower.common_subexpressions import merged
from ..parallel import settings
from .arguments import ExportedFields

PLATFORMS = ("cpu", "cuda", "tpu")


@dataclass(frozen=True, eq=False)
class Function:
    """Fields of one point, in primitives, with the parameters they are computed from as NumPy arrays."""

    exported: ExportedFields
    roots: tuple[Node, ...]
    parameters: dict[Trainable, Any]
    dtype: np.dtype

    @classmethod
    def of(cls, exported: ExportedFields, evaluator: Evaluator) -> "Function":
        """Return it; raises ValueError for fields whose value at a point depends on more than that point."""
        for name, field in exported.fields.items():
            _refuse_others(name, field)
        roots = lower.expand(list(exported.fields.values()), RULES)
        parameters = {
            trainable: jax.tree.map(np.asarray, evaluator.parameters(trainable))
            for trainable in lower.trainables_of(roots)
        }
        return cls(exported, tuple(roots), parameters, evaluator.dtype)

    def __call__(self, points: Float[Array, "n columns"]) -> Any:
        """Return values at points whose columns are `exported.axes`: an array of a field alone, else a dict by name."""
        inputs = lower.Values(self.parameters, {}, {}, self.dtype)

        def at(point: Float[Array, " columns"]) -> list[Any]:
            if self.exported.points.steady:  # fields are of a time too, which is zero there
                point = jnp.concatenate([point, jnp.zeros(1, point.dtype)])
            return [jnp.asarray(value) for value in lower.evaluate(self.roots, inputs, point)]

        values = jax.vmap(merged(at))(points)
        return values[0] if self.exported.single else dict(zip(self.exported.fields, values, strict=True))

    def serialized(self) -> bytes:
        """Return StableHLO for any number of points and all platforms that JAX can translate it for.

        Its `fun_name` names the fields and the columns of the points. Raises ValueError where JAX cannot export it.
        """

        def function(points: Any) -> Any:
            # Of the run, as in every other program.
            with jax.default_matmul_precision(settings().matmul_precision):
                return self(points)

        function.__name__ = f"{', '.join(self.exported.fields)} of ({', '.join(self.exported.axes)})"
        shape = stablehlo.symbolic_shape(f"n, {len(self.exported.axes)}")
        points = jax.ShapeDtypeStruct(shape, self.dtype)

        def translated(platforms: Sequence[str]) -> bytes:
            return bytes(stablehlo.export(jax.jit(function), platforms=platforms)(points).serialize())

        try:
            return translated(PLATFORMS)
        except (NotImplementedError, ValueError) as error:
            able = [platform for platform in PLATFORMS if _succeeds(lambda p=platform: translated([p]))]
            if able:
                return translated(able)
            raise ValueError(
                f"export: JAX cannot make '{function.__name__}' a function for other programs: {error}. A function of "
                f"yours that calls back to Python is one reason: write it with jax.numpy"
            ) from error


def _succeeds(act: Any) -> bool:
    try:
        act()
    except (NotImplementedError, ValueError):
        return False
    return True


def _refuse_others(name: str, field: Node) -> None:
    """Raise where a field is not computed from the coordinates of a point alone."""
    for node in local_nodes([field]):
        if not node.op.local:
            raise ValueError(
                f"export: '{name}' holds {node}, which is made of values at all points of a tag: a function of single "
                f"points has none. Put a number from solver.eval in its place, or export values (.csv, .npz, .vtu)"
            )
        if isinstance(node.op, ops.Coordinate) and node.op.axis >= len(node.op.points.axes):
            raise ValueError(
                f"export: '{name}' holds {node}, which is known at the points of '{node.op.points.tag}' alone: leave "
                f"it out, or export values (.csv, .npz, .vtu)"
            )
