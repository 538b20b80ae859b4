"""Networks in expressions: wrap a module, call it with coordinates."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..expr import Node, Selection, Trainable, as_array, as_node, ops, parted


@dataclass(frozen=True)
class Network:
    """A handle of a network. Calling it builds a field; every other method returns a new handle."""

    trainable: Trainable
    own_optimizer: Any = None
    frozen: bool = False
    selected: Selection | None = None  # by a mask; None for all

    def __call__(self, *coordinates: Any) -> Node:
        """The network as a field; the arguments are concatenated to its input vector.

        Args:
            *coordinates: numbers or vectors at each point: coordinates, other fields, terms, constants.

        Returns:
            A field with the shape of the network's output; (1,) becomes a scalar.

        Raises:
            ValueError: the network does not take these inputs.
        """
        if not coordinates:
            raise ValueError(f"{self.trainable.name}() needs the coordinates it is evaluated at, such as net(x, t)")
        call = ops.Call(self.trainable, self.own_optimizer, self.frozen)
        return Node(call, *map(as_node, coordinates))

    def optimizer(self, optimizer: Any) -> "Network":
        """The same network with its own optimizer.

        Args:
            optimizer: an optax optimizer; networks with the same object are updated jointly.

        Raises:
            TypeError: it is no optax optimizer, or trains all networks of a problem at once.
        """
        check_optimizer(optimizer, self.trainable.name)
        return replace(self, own_optimizer=optimizer)

    def freeze(self) -> "Network":
        """The same network, excluded from training. Its Jacobians can still be taken."""
        return replace(self, frozen=True)

    def mask(self, mask: PyTree) -> "Network":
        """The same network with a selection of parameters for `.grad(...)`.

        Args:
            mask: a tree of bools built from `net.params` or `net.module`, or None for all.

        Raises:
            TypeError: a leaf is not a bool.
            ValueError: the tree has another structure, or selects nothing.
        """
        return replace(self, selected=Selection.of(self.trainable, mask))

    @property
    def selection(self) -> Selection:
        """The parameters that `.grad(...)` is by."""
        return Selection(self.trainable) if self.selected is None else self.selected

    @property
    def leaf_names(self) -> tuple[str, ...]:
        """Names of the leaves that `.grad(...)` is by, in the order of its columns: `net.layers[0].weight`, …"""
        return self.selection.leaf_names

    @property
    def module(self) -> PyTree:
        """The module as it was wrapped (trained parameters are in `solver.module(net)`)."""
        return self.trainable.module

    @property
    def params(self) -> PyTree:
        """The module's parameters as they were wrapped: its arrays of floats, None elsewhere."""
        return self.trainable.initial

    def __repr__(self) -> str:
        return f"<network '{self.trainable.name}' of {self.trainable.size} parameters>"


def wrap(
    module: PyTree, params: PyTree = None, *, name: str | None = None, recipe: dict[str, Any] | None = None
) -> Network:
    """A network for use in expressions, from any Equinox module or pure function.

    Trainable are the floating-point arrays among the leaves, of JAX and NumPy; Python and NumPy numbers are constants.

    Args:
        module: called for one point with the vector of its inputs; or a function f(params, inputs).
        params: the parameters of a function.
        name: of the network, in messages, the history and files.
        recipe: plain data from which a saved file rebuilds the architecture, as `tx.nn.mlp` has it.

    Raises:
        TypeError: `module` is not callable or has no floating-point arrays, or a parameter is complex.
    """
    if params is None:
        initial, static = parted(f"wrap({type(module).__name__})", module)
        if not callable(module) or not jax.tree.leaves(initial):
            raise TypeError(
                f"wrap({module!r}): give a callable module with arrays of floats, or a pure function f(params, "
                f"inputs) together with its params"
            )
        whole, label = module, type(module).__name__

        def value(parameters: Any, inputs: Any) -> Any:
            return eqx.combine(parameters, static)(inputs)
    else:
        whole, label = params, getattr(module, "__name__", "function")
        initial, static = parted(f"wrap({label}, params)", params)

        def value(parameters: Any, inputs: Any) -> Any:
            return module(eqx.combine(parameters, static), inputs)

    def apply(parameters: Any, arguments: Any) -> Any:
        dtype = jax.tree.leaves(parameters)[0].dtype
        inputs = jnp.concatenate([jnp.ravel(jnp.asarray(argument, dtype)) for argument in arguments])
        output = as_array(value(parameters, inputs))
        return output[0] if output.shape == (1,) else output

    return Network(Trainable(name or label, initial, apply, whole, recipe))


def check_optimizer(optimizer: object, name: str) -> None:
    """Raise TypeError for what is no optax optimizer with `init` and `update`."""
    if getattr(optimizer, "governs_all", False):
        raise TypeError(
            f"optimizer of '{name}' is {optimizer!r}, which trains all networks and parameters of a problem at once: "
            f"give it as tx.core(..., optimizer=...)"
        )
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise TypeError(f"optimizer of '{name}' is {optimizer!r}: give an optax optimizer, such as optax.adam(1e-3)")
