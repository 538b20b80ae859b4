"""The node: an operation and its arguments."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar, overload
from weakref import WeakValueDictionary

import jax.numpy as jnp

from .argument_checks import axis_of, checked_selections, refuse_group, refuse_point_values
from .arithmetic import Arithmetic
from .groups import split
from .held_out import held_out
from .kernel_request import DensityRequest, DualGramRequest, EigenvaluesRequest, Exact, GramRequest, spectrum_request
from .ops import (
    Apply,
    Component,
    Constant,
    Derivative,
    Facts,
    Gradient,
    Jacobian,
    Label,
    Laplacian,
    Op,
    Reduce,
    Restrict,
    RowMean,
)
from .points import PointSet
from .products import TransposedJacobian, along
from .reductions import integral, integral_error
from .tracker import Tracker
from .traversal import Texts, describe, local_nodes

N = TypeVar("N", bound="Node")
interned: WeakValueDictionary[tuple[Any, ...], "Node"] = WeakValueDictionary()


class Node(Arithmetic):
    """A symbolic value: a *field* has one value per collocation point, a *term* one in all.

    Nodes are immutable and interned: two expressions are one object exactly if they are built alike from the
    same coordinates, networks, masks and functions. That identity is what sharing of computation rests on.
    """

    __slots__ = ("__weakref__", "args", "facts", "op")

    op: Op
    args: tuple["Node", ...]
    facts: Facts

    def __new__(cls: type[N], op: Op, *args: "Node") -> N:
        key = (cls, op, *map(id, args))
        node: Any = interned.get(key)
        if node is None:
            refuse_group(op, args)
            node = object.__new__(cls)
            facts = op.infer([arg.facts for arg in args], Texts(args))
            for name, value in (("op", op), ("args", args), ("facts", facts)):
                object.__setattr__(node, name, value)
            interned[key] = node
        return node

    def __setattr__(self, name: str, value: Any):
        raise AttributeError(f"a node is immutable: '{name}' cannot be set on {self}")

    # Description

    @property
    def points(self) -> PointSet | None:
        """The point set that a field has values at; None for a term."""
        return self.facts.points

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value at one point (of a term: of the value)."""
        return self.facts.shape

    def __str__(self) -> str:
        return describe(self)

    def __repr__(self) -> str:
        kind = "term" if self.points is None else f"field on '{self.points.tag}'"
        return f"<{kind} {self}>"

    def named(self, name: str) -> "Node":
        """The same value under a name: `tx.core`, messages and history use it.

        Args:
            name: printable characters, at most 200.

        Raises:
            TypeError: the name is no text.
            ValueError: the name is blank, too long or cannot be printed.
        """
        return Node(Label(name), self)

    def held_out(self, n: int | None = None, seed: int = 1) -> "Node":
        """The same field at other points of its tag, which training does not see.

        Terms inside it are taken over those points too. Points of the same number and seed are the same.

        Args:
            n: number of points; as many as the tag has by default.
            seed: of the points, 0 or more.

        Raises:
            TypeError: it is a term.
            ValueError: an argument is out of range, the tag's points were given and not sampled, or the field has an
                entry for each of them.
        """
        return held_out(self, n, seed)

    # Calculus in space and time

    def d(self, coordinate: "Node", order: int = 1) -> "Node":
        """∂ᵏ/∂coordinateᵏ of a field, k = `order`. Terms inside it are constants in space.

        Args:
            coordinate: what `domain.variable()` returned, of the points that the field is on.
            order: 1 or more.

        Returns:
            A field of the same shape; of a term, zero.

        Raises:
            TypeError: `coordinate` is none, or the field is not of real numbers.
            ValueError: the order is below 1, the coordinate is of other points, or an opaque function is inside.
        """
        return self._derivative([coordinate] * order)

    def d2(self, coordinate: "Node") -> "Node":
        """∂²/∂coordinate², the same as `d(coordinate, 2)`.

        Args:
            coordinate: as in `d`, with the same errors.
        """
        return self._derivative([coordinate, coordinate])

    def laplacian(self, *coordinates: "Node") -> "Node":
        """Sum of the second derivatives along some coordinates.

        Args:
            *coordinates: one or more, each once, as in `d`.

        Returns:
            A field of the same shape; of a term, zero.

        Raises:
            ValueError: a coordinate is named twice, or none is; all else as in `d`.
        """
        if not coordinates:
            raise ValueError(f"{self}.laplacian(): name the coordinates it runs over, such as laplacian(x, y)")
        axes = tuple(sorted(axis_of(self, coordinate) for coordinate in coordinates))
        if len(set(axes)) < len(axes):
            raise ValueError(f"{self}.laplacian(): a coordinate is named twice")
        if self.points is None:
            return Node(Constant.of(0.0))
        return Node(Laplacian(axes), self)

    def _derivative(self, coordinates: "list[Node]") -> "Node":
        if not coordinates:
            raise ValueError(f"{self}.d(): the order of a derivative is at least 1")
        axes = [axis_of(self, coordinate) for coordinate in coordinates]
        if self.points is None:
            return Node(Constant.of(0.0))
        base = self
        if isinstance(self.op, Derivative):
            base = self.args[0]
            axes.extend(self.op.axes)
        axes.sort()
        return Node(Derivative(tuple(axes), tuple(self.points.axes[axis] for axis in axes)), base)

    # Parameter Jacobians

    def grad(self, *handles: Any) -> "Node":
        """J, the derivative with respect to the parameters of networks or trainable scalars.

        Args:
            *handles: networks, with masks if only some leaves are wanted, and parameters. Those that the value does not
                depend on have columns of zeros.

        Returns:
            Of a field: rows, one per point, (N, P); (N, C, P) for C components. Of a term: one vector (P,). The P
            columns are the selected leaves, flattened in the order of `jax.tree.leaves(net.params)`.

        Raises:
            TypeError: a handle is neither a network nor a parameter.
            ValueError: the value depends on none of them, or one is named twice.
        """
        selections = checked_selections(self, handles)
        if self.points is None:
            return Node(Gradient(selections), self)
        return Node(Jacobian(selections), self)

    # Reductions over points

    def _reduce(self, kind: str) -> "Node":
        return Node(Reduce(kind), self)

    @property
    def mse(self) -> "Node":
        """Mean of squares over points and components."""
        return self._reduce("mse")

    @property
    def mae(self) -> "Node":
        """Mean of absolute values over points and components."""
        return self._reduce("mae")

    @property
    def mean(self) -> "Node":
        """Mean over points and components; of Jacobian rows: the group mean, (P,)."""
        rows = self._rows
        if isinstance(rows.op, Jacobian):
            return Node(RowMean(), self)
        if any(isinstance(node.op, Jacobian) and node.shape == rows.shape for node in local_nodes([rows])):
            raise TypeError(
                f"{self}.mean: of rows, or of all numbers in them? Take the mean of the Jacobian first "
                f"(2 * J.mean), or say tx.np.mean(…, axis=-1) to average each row"
            )
        return self._reduce("mean")

    @property
    def mean_by_rows(self) -> "Node":
        """`mean` of Jacobian rows, computed row by row on each shard and then summed (the slow, literal way)."""
        rows = self._rows
        if not isinstance(rows.op, Jacobian):
            raise TypeError(f"{self}.mean_by_rows: only a Jacobian has rows; of a field take .mean")
        return Node(RowMean(by_rows=True), self)

    @overload
    def spectrum(self, *, way: Literal["density"]) -> DensityRequest: ...
    @overload
    def spectrum(self, k: int | None = None, *, way: Exact | None = None, vectors: int = 0) -> EigenvaluesRequest: ...
    def spectrum(
        self, k: int | None = None, *, way: str | None = None, vectors: int = 0
    ) -> EigenvaluesRequest | DensityRequest:
        """Of Jacobian rows: eigenvalues of the tangent kernel K = J Jᵀ, ranks and condition, by `solver.eval`.

        Of `J[group]`, the kernel of its points.

        Args:
            k: number of the largest eigenvalues, at most P; all min(N C, P) by default.
            way: "rows", "gram", "lanczos" (with `k`) or "density" (without); by default the first that fits memory.
            vectors: number of eigenvectors, at most `k`.

        Returns:
            A request, which `solver.eval` answers with a `Spectrum`, or a `Density` for "density".

        Raises:
            TypeError: it has no Jacobian rows.
            ValueError: the arguments are out of range or do not go together.
        """
        self._jacobian("spectrum")
        return spectrum_request(self, k, way, vectors)

    def dual_gram(self) -> DualGramRequest:
        """Of Jacobian rows: JᵀJ, (P, P), by `solver.eval`; its eigenvalues are those of K but for zeros."""
        self._jacobian("dual_gram")
        return DualGramRequest(self)

    def gram(self, other: "Node | None" = None) -> GramRequest:
        """Of Jacobian rows: the tangent kernel K = J Jᵀ, or the block J_a J_bᵀ, by `solver.eval`.

        Args:
            other: J_b, by the same parameters; it may be of another field, group or tag.

        Returns:
            A request for (N, N), or (N, M) with `other`; C components are C rows a point.

        Raises:
            TypeError: one of the two has no Jacobian rows.
            ValueError: the two are by other parameters, or by them in another order or mask.
        """
        wrt = self._jacobian("gram").wrt
        other = None if other is None else as_node(other)
        if other is not None and wrt != other._jacobian("gram").wrt:
            raise ValueError(f"{self}.gram({other}): the two must be by the same parameters, in order and mask")
        return GramRequest(self, other)

    @property
    def T(self) -> TransposedJacobian:
        """Jᵀ of Jacobian rows J, for products `J.T @ w`."""
        return TransposedJacobian(self)

    @property
    def _rows(self) -> "Node":
        """Without the group that it is restricted to."""
        return split(self)[0]

    def _jacobian(self, what: str) -> Jacobian:
        """The operation whose rows these are; raises TypeError if there are none to ask for `what` of."""
        if not isinstance(self._rows.op, Jacobian):
            raise TypeError(f"{self}.{what}: only a Jacobian has one: field.grad(net).{what}()")
        return self._rows.op

    @property
    def sum(self) -> "Node":
        """Sum over points and components."""
        return self._reduce("sum")

    @property
    def integral(self) -> "Node":
        """∫ of a field over the set that its points fill evenly, or its part in a group, a term.

        The measure of the set times the mean; `integral_error` is what it is off by.
        """
        return integral(self)

    @property
    def integral_error(self) -> "Node":
        """The standard deviation of `integral` for independent points; for Sobol and Halton points an upper bound."""
        return integral_error(self)

    @property
    def max(self) -> "Node":
        """Largest value over points and components."""
        return self._reduce("max")

    @property
    def min(self) -> "Node":
        """Smallest value over points and components."""
        return self._reduce("min")

    @property
    def std(self) -> "Node":
        """Standard deviation over points and components (dividing by their number)."""
        return self._reduce("std")

    # Trackers

    def tracker(self, interval: int = 1, name: str | None = None, warn_below: float | None = None) -> "Tracker":
        """Evaluate this term every `interval` epochs during training, without touching the loss.

        Args:
            interval: epochs between values: 0, `interval`, 2·`interval`, …
            name: in the history; by default that of `tx.core`.
            warn_below: threshold below which a warning is shown.

        Raises:
            TypeError: it is a field.
            ValueError: the interval is no whole number from 1 on, or the name cannot be printed.
        """
        return Tracker(self, interval, name, warn_below)

    # Components and groups

    def __getitem__(self, index: Any) -> "Node":
        if isinstance(index, Node):
            return Node(Restrict(), self, index)
        return apply(Component.of(index), f"[{index}]", self)

    def __iter__(self) -> Iterator["Node"]:
        if not self.shape:
            raise TypeError(f"{self} has one number per point: it has no components to run over")
        return (self[index] for index in range(self.shape[0]))

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self} has no truth value before it is computed: combine conditions with & and |, choose with tx.np.where"
        )

    # Operators: `Arithmetic` has all but the product of Jacobian rows

    def __pos__(self) -> "Node":
        return self

    @staticmethod
    def applied(function: Callable[..., Any], name: str, *args: Any) -> "Node":
        return apply(function, name, *args)

    @overload
    def __matmul__(self, other: TransposedJacobian) -> GramRequest: ...  # pyright: ignore[reportOverlappingOverload]

    @overload
    def __matmul__(self, other: Any) -> "Node": ...

    def __matmul__(self, other: Any) -> "Node | GramRequest":
        if isinstance(self._rows.op, Jacobian):
            return along(self, other)
        return self.applied(jnp.matmul, "@", self, other)


def as_node(value: object) -> Node:
    """A node as it is, anything else as a constant."""
    if isinstance(value, (list, tuple)) and any(isinstance(entry, Node) for entry in value):
        raise TypeError(f"{value} holds expressions: tx.np.stack makes one of them")
    return value if isinstance(value, Node) else Node(Constant.of(value))


def apply(function: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Node:
    """The node of a function of the values at one point; `kwargs` are static."""
    nodes = [as_node(arg) for arg in args]
    for constant in nodes:
        if isinstance(constant.op, Constant):
            refuse_point_values(constant, nodes, name)
    return Node(Apply(function, name, tuple(sorted(kwargs.items()))), *nodes)
