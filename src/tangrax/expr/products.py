"""Products with a Jacobian that never form its rows: J v, Jᵀ w, and entries of K = J Jᵀ without forming it.

`node.py` builds on this module: new nodes are made by the type of those that come in.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax

from .constants import checked_array
from .groups import split, within
from .ops import Apply, Constant, Facts, Gradient, Jacobian, Op, Restrict, Scattered, one_point_set

if TYPE_CHECKING:
    from .kernel_request import GramRequest
    from .node import Node


@dataclass(frozen=True)
class Push(Op):
    """J v at each point, by forward mode: the arguments are J and v, P numbers or a matrix (P, k)."""

    def infer(self, args, texts):
        rows, vector = args
        size = rows.shape[-1]
        if len(vector.shape) not in (1, 2) or vector.shape[0] != size:
            raise ValueError(
                f"{texts[0]} of shape {rows.shape} per point @ {texts[1]} of shape {vector.shape}: inner sizes differ. "
                f"Give ({size},), one number for each parameter that the Jacobian is by, or a matrix ({size}, k)"
            )
        return Facts(one_point_set(args, texts), (*rows.shape[:-1], *vector.shape[1:]))

    def text(self, args):
        return f"({args[0]} @ {args[1]})"


@dataclass(frozen=True)
class RowSquares(Op):
    """|row|² of each row of J."""

    def infer(self, args, texts):
        return Facts(args[0].points, args[0].shape[:-1])

    def text(self, args):
        return f"{args[0]}.gram().diagonal"


@dataclass(frozen=True, eq=False)
class TransposedJacobian:
    """`J.T`, or `J[group].T`, for products."""

    rows: "Node"
    __array_ufunc__ = None  # NumPy arrays do not take it for one of theirs

    def __post_init__(self):
        if not isinstance(split(self.rows)[0].op, Jacobian):
            raise AttributeError(f"{self}: only a Jacobian has .T, field.grad(net).T. (Else: tx.np.transpose)")

    def __str__(self) -> str:
        return f"{self.rows}.T"

    def __matmul__(self, weights: Any) -> "Node":
        """Σ over points of weight times row: one vector-Jacobian product and one sum over devices.

        Of `J[group]` only the points of the group count.

        Args:
            weights: a field of J's points, or an array (N,) with an entry for each of them; (N, C) of C components.

        Returns:
            A term (P,).

        Raises:
            ValueError: the weights are on other points or groups, or of another shape.
        """
        node = type(self.rows)
        rows, *group = split(self.rows)
        field = rows.args[0]
        fixed = node(Apply(jax.lax.stop_gradient, "stop_gradient"), self._field(weights))
        product = fixed * field
        assert isinstance(rows.op, Jacobian)
        return node(Gradient(rows.op.wrt), (product[group[0]] if group else product).sum)

    def _field(self, weights: Any) -> "Node":
        """Weights as a field on J's points; raises where they do not fit."""
        node = type(self.rows)
        rows, *group = split(self.rows)
        points, shape = rows.points, rows.shape[:-1]
        assert points is not None
        if not isinstance(weights, node):
            array = checked_array(f"{self} @ array", weights)
            if array.shape != (len(points), *shape):
                raise ValueError(
                    f"{self} @ array of shape {array.shape}: give {(len(points), *shape)}, an entry for each point of "
                    f"'{points.tag}' in the order of domain.point_set('{points.tag}').coordinates"
                )
            return node(Scattered(points), node(Constant.of(array)))
        if isinstance(weights.op, Restrict):
            field, its_group = weights.args
            if not group or its_group is not group[0]:
                raise ValueError(f"{self} @ {weights}: the two must be on the same group, as in J[group].T @ w[group]")
            weights = field
        if weights.points is not points:
            on = "is a term" if weights.points is None else f"has one value per point of '{weights.points.tag}'"
            raise ValueError(
                f"{self} @ {weights}: it takes one weight for each point of '{points.tag}', and {weights} {on}. Give a "
                f"field of that tag, or an array of {len(points)} entries"
            )
        if weights.shape != shape:
            raise ValueError(
                f"{self} @ {weights}: the Jacobian is of values of shape {shape} per point, and {weights} has shape "
                f"{weights.shape}: give a weight for each number"
            )
        return weights


def along(rows: "Node", vector: Any) -> "Node | GramRequest":
    """J v, a field (on the group, of `J[group]`); of J Jᵀ the request for K."""
    if isinstance(vector, TransposedJacobian):
        return rows.gram() if vector.rows is rows else rows.gram(vector.rows)
    node = type(rows)
    inner, *group = split(rows)
    moved = node(Push(), inner, vector if isinstance(vector, node) else node(Constant.of(vector)))
    return within(moved, *group)


def squares(rows: "Node") -> "Node":
    """Diagonal of K, a field (on the group, of `J[group]`)."""
    inner, *group = split(rows)
    return within(type(rows)(RowSquares(), inner), *group)
