"""Operations of nodes, as data: each infers the shape of its value and how it is written.

Operations are frozen, compared by value and hold no nodes; a node is an operation and its arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .constants import checked_array
from .facts import Facts as Facts, Op as Op, one_point_set as one_point_set
from .failure import explanation, is_of_shapes, shape_of, succeeds
from .masks import Selection
from .names import checked_name
from .points import PointSet
from .trainable import Trainable

REDUCTIONS = ("mse", "mae", "mean", "sum", "max", "min", "std")
MOST_INPUTS = 512  # numbers of inputs above it are not tried to explain an error
INFIX = {"+", "-", "*", "/", "**", "@", "//", "%", "<", "<=", ">", ">=", "==", "!=", "&", "|"}


@dataclass(frozen=True)
class Constant(Op):
    """A number, or an array that is the same at every point. `data` is bytes for an array, else the number."""

    data: Any
    dtype: str
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, value: Any) -> "Constant":
        if isinstance(value, (bool, int, float)):
            plain = float(value) if isinstance(value, float) else value
            return cls(plain, type(plain).__name__)
        array = checked_array(f"{value} in an expression" if np.isscalar(value) else "an array in an expression", value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{value!r} cannot stand in an expression: only numbers and arrays of numbers can")
        if array.ndim == 0:
            return cls.of(array.item())
        return cls(array.tobytes(), array.dtype.str, array.shape)

    @property
    def value(self) -> Any:
        if not self.shape:
            return self.data
        return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)

    def infer(self, args, texts):
        kinds = {"bool": "b", "int": "i", "float": "f"}
        return Facts(None, self.shape, kinds[self.dtype] if not self.shape else np.dtype(self.dtype).kind)

    def text(self, args):
        if self.shape:
            return f"array{self.shape}" if np.size(self.value) > 4 else f"{self.value.tolist()}"
        return f"{self.data}" if self.dtype == "bool" else f"{self.data:.6g}"


@dataclass(frozen=True)
class Coordinate(Op):
    """One column of the points of a tag."""

    points: PointSet
    axis: int
    fixed: ClassVar[bool] = True  # no epoch of training changes it

    def infer(self, args, texts):
        return Facts(self.points, ())

    def text(self, args):
        return self.points.axes[self.axis]


@dataclass(frozen=True)
class Measured(Coordinate):
    """What was measured at the points of a tag: a column beside their coordinates."""

    def text(self, args):
        return self.points.names[self.axis]


@dataclass(frozen=True)
class Call(Op):
    """A network at the coordinates given; without arguments, a trainable scalar or array."""

    trainable: Trainable
    optimizer: Any = None
    frozen: bool = False

    def infer(self, args, texts):
        points = one_point_set(args, texts)
        leaves = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), jnp.result_type(x)), self.trainable.initial)
        size = sum(int(np.prod(facts.shape)) for facts in args)

        def refusal(error: Exception) -> str:
            for other in sorted({*range(1, 9), *self._dimensions} - {size}, key=lambda other: abs(other - size)):
                if succeeds(self.trainable.apply, leaves, [jax.ShapeDtypeStruct((other,), "float32")]):
                    return (
                        f"{self.text(texts)}: the network does not take its input of {size} number(s) per point, it "
                        f"takes {other}: give it as many coordinates as its first layer expects. It said: "
                        f"{explanation(error)}"
                    )
            return f"{self.text(texts)}: the network failed at a point. {explanation(error)}"

        structs = [facts.struct() for facts in args]
        value = shape_of(self.trainable.apply, (leaves, structs), refusal)
        return Facts.of(points, value, self.text(texts))

    @property
    def _dimensions(self) -> set[int]:
        """Of its weights: the number of inputs is one of them, as a rule."""
        return {size for shape in self.trainable.leaf_shapes for size in shape if size <= MOST_INPUTS}

    def text(self, args):
        return f"{self.trainable.name}({', '.join(args)})" if args else self.trainable.name


@dataclass(frozen=True)
class Apply(Op):
    """A function of the values at one point (or of values that have no point), sharded like any field."""

    function: Callable[..., Any]
    name: str
    kwargs: tuple[tuple[str, Any], ...] = ()

    def infer(self, args, texts):
        points = one_point_set(args, texts)

        def refusal(error: Exception) -> str:
            shapes = ", ".join(f"{text}: {facts.shape}" for text, facts in zip(texts, args, strict=True))
            cause = f" from values of these shapes per point ({shapes})" if is_of_shapes(error) else ""
            return f"{self.text(texts)} cannot be computed{cause}: {explanation(error, self.function)}"

        value = shape_of(self, [facts.struct() for facts in args], refusal)
        if not hasattr(value, "shape"):
            raise TypeError(f"{self.text(texts)} must return one array, not {type(value).__name__}")
        return Facts.of(points, value, self.text(texts))

    def __call__(self, *args):
        return self.function(*args, **dict(self.kwargs))

    def text(self, args):
        if self.name in INFIX and len(args) == 2:
            return f"({args[0]} {self.name} {args[1]})"
        if self.name in ("-", "~") and len(args) == 1:
            return f"{self.name}{args[0]}"
        if self.name.startswith("["):
            return f"{args[0]}{self.name}"
        extra = [f"{key}={value}" for key, value in self.kwargs]
        return f"{self.name}({', '.join([*args, *extra])})"


@dataclass(frozen=True)
class Derivative(Op):
    """∂/∂(axes) of a field; `axes` is sorted, since the order of differentiation does not matter."""

    axes: tuple[int, ...]
    names: tuple[str, ...]

    def infer(self, args, texts):
        return args[0]

    def text(self, args):
        return f"{args[0]}_{''.join(self.names)}"


@dataclass(frozen=True)
class Laplacian(Op):
    """Sum of the second derivatives along `axes`."""

    axes: tuple[int, ...]

    def infer(self, args, texts):
        return args[0]

    def text(self, args):
        return f"laplacian({args[0]})"


@dataclass(frozen=True)
class Label(Op):
    """The argument under a name of the user's."""

    name: str

    def __post_init__(self):
        checked_name("named", self.name)

    def infer(self, args, texts):
        return args[0]

    def text(self, args):
        return self.name


@dataclass(frozen=True)
class Component:
    """`value[index]` at each point; an index of integers and slices, kept hashable."""

    index: tuple[Any, ...]

    @classmethod
    def of(cls, index: ArrayLike) -> "Component":
        parts = index if isinstance(index, tuple) else (index,)
        for part in parts:
            if part is not Ellipsis and not isinstance(part, (int, slice)):
                raise TypeError(f"[{index!r}]: components are chosen by integers and slices, points by a boolean field")
        return cls(tuple((p.start, p.stop, p.step) if isinstance(p, slice) else p for p in parts))

    def __call__(self, value):
        if len(self.index) > value.ndim or any(
            isinstance(i, int) and not -n <= i < n for i, n in zip(self.index, value.shape, strict=False)
        ):
            raise IndexError(f"no component {list(self.index)} in a value of shape {value.shape} per point")
        return value[tuple(slice(*part) if isinstance(part, tuple) else part for part in self.index)]


@dataclass(frozen=True)
class Restrict(Op):
    """A field on a group of its points: `field[group]`. Only a reduction or `eval` may take it."""

    def infer(self, args, texts):
        field, group = args
        if group.kind != "b" or group.shape != ():
            raise TypeError(f"{texts[1]} is no group: a group is a boolean field such as x < 0.5")
        if field.points is None:
            raise TypeError(f"{texts[0]} has no points to choose from: it is a term already")
        return Facts(one_point_set(args, texts), field.shape, field.kind)

    def text(self, args):
        return f"{args[0]}[{args[1]}]"


@dataclass(frozen=True)
class Reduce(Op):
    """A field reduced to one number over its points and components (one of `REDUCTIONS`)."""

    kind: str
    local = False

    def infer(self, args, texts):
        if args[0].points is None:
            raise TypeError(f"{texts[0]}.{self.kind}: it has no points to reduce over: it is a term already")
        return Facts(None, ())

    def text(self, args):
        return f"{args[0]}.{self.kind}"


@dataclass(frozen=True)
class Opaque(Op):
    """A function of all points' values at once, in the user's order, without padding."""

    function: Callable[..., Any]
    returns: str | None
    local = False

    @property
    def name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    def infer(self, args, texts):
        points = one_point_set(args, texts)
        full = [
            facts.struct()
            if facts.points is None
            else Facts(None, (len(facts.points), *facts.shape), facts.kind).struct()
            for facts in args
        ]

        def refusal(error: Exception) -> str:
            shapes = ", ".join(str(struct.shape) for struct in full)
            cause = f" for arrays of shape {shapes}, all points at once" if is_of_shapes(error) else ""
            return f"{self.text(texts)}: the function failed{cause}: {explanation(error, self.function)}"

        value = shape_of(self.function, full, refusal)
        if not hasattr(value, "shape"):
            raise TypeError(f"{self.text(texts)}: the function must return one array, not {type(value).__name__}")
        fits = points is not None and value.ndim > 0 and value.shape[0] == len(points)
        if self.returns == "field" and not fits:
            raise ValueError(
                f"{self.text(texts)} was declared returns='field' but gives shape {value.shape}: its first "
                f"axis must be the {len(points) if points else 0} points of its arguments"
            )
        whole = Facts.of(None, value, self.text(texts))
        if self.returns == "field" or (self.returns is None and fits):
            return Facts(points, value.shape[1:], whole.kind)
        return whole

    def text(self, args):
        return f"{self.name}({', '.join(args)})"


@dataclass(frozen=True)
class Scattered(Op):
    """The field whose value at point i is row i of an array, in the user's order, that every shard has."""

    points: PointSet
    local = False

    def infer(self, args, texts):
        return Facts(self.points, args[0].shape[1:], args[0].kind)

    def text(self, args):
        return args[0]


class Sensitivity(Op):
    """A derivative with respect to parameters: P numbers for each number of the argument."""

    wrt: tuple[Selection, ...]

    @property
    def size(self) -> int:
        return sum(selection.size for selection in self.wrt)

    def infer(self, args, texts):
        if args[0].kind != "f":
            raise TypeError(f"{texts[0]} is not made of real numbers: it has no derivative")
        return Facts(args[0].points, (*args[0].shape, self.size))

    def text(self, args):
        names = ", ".join(selection.trainable.name for selection in self.wrt)
        return f"{args[0]}.grad({names})"


@dataclass(frozen=True)
class Jacobian(Sensitivity):
    """∂field/∂θ at each point: rows of P numbers, a matrix (C, P) a point for C components.

    Where terms m stand inside the field, `inner` names them and the further arguments are dm/dθ: their
    share comes by the chain rule (the lowering adds them).
    """

    wrt: tuple[Selection, ...]
    inner: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Gradient(Sensitivity):
    """∂term/∂θ: one vector of P numbers, a matrix (C, P) for a term of C numbers."""

    wrt: tuple[Selection, ...]
    local = False


@dataclass(frozen=True)
class RowMean(Op):
    """The mean of Jacobian rows over a group: by one vector-Jacobian product, or row by row."""

    by_rows: bool = False
    local = False

    def infer(self, args, texts):
        return Facts(None, args[0].shape)

    def text(self, args):
        return f"{args[0]}.mean"
