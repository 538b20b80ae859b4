"""Optax optimizers on the networks and scalars of a problem."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from ..expr import Selection, Trainable
from ..lower import put_selected
from .constant_arrays import filled
from .optimizer_protocol import LossAndGradient, Parameters, UpdateContext

STEPS = 8  # until the types of an optimizer's state have settled: each can widen a few numbers


@dataclass(frozen=True)
class FirstOrder:
    """One optax transformation a group of trainables; those with the same optimizer object are stepped jointly."""

    groups: tuple[tuple[optax.GradientTransformationExtraArgs, tuple[Trainable, ...]], ...]

    @property
    def measures(self) -> tuple[str, ...]:
        """None: optax transformations return no info."""
        return ()

    @classmethod
    def of(cls, optimizers: Mapping[Trainable, Any]) -> "FirstOrder":
        groups = by_optimizer(optimizers)
        return cls(tuple((optax.with_extra_args_support(o), tuple(members)) for o, members in groups))

    @property
    def wrt(self) -> tuple[Selection, ...]:
        """Everything trained, in the order of the gradient vector."""
        return tuple(Selection(trainable) for _, members in self.groups for trainable in members)

    def init(self, parameters: Parameters) -> tuple[Any, ...]:
        """Fresh states, their numbers of the types that a step returns: for others it would be compiled once more.

        Raises TypeError for an optimizer whose steps change the structure of its state.
        """
        dtype = jnp.result_type(*jax.tree.leaves([parameters[selection.trainable] for selection in self.wrt]))

        def step(states: Any) -> Any:
            flat = ravel_pytree([selection.take(parameters[selection.trainable]) for selection in self.wrt])[0]
            loss = jnp.zeros((), dtype)
            return self._step(parameters, states, loss, flat, lambda parameters: (loss, flat), loss)[1]

        states = strong(tuple(filled(o.init)(_members(parameters, members)) for o, members in self.groups), dtype)
        for _ in range(STEPS):
            after = jax.eval_shape(step, states)
            _refuse_another_structure(states, after)
            if all(jax.tree.leaves(jax.tree.map(lambda old, new: old.dtype == new.dtype, states, after))):
                break
            states = jax.tree.map(lambda old, new: old.astype(new.dtype), states, after)
        return states

    def trouble(self, state: PyTree) -> str | None:
        """None: an optax transformation does not know whether its updates lower the loss."""
        return None

    def update(
        self, parameters: Parameters, state: Sequence[Any], context: UpdateContext
    ) -> tuple[Parameters, tuple[Any, ...], tuple[()]]:
        """One step of every group, `step_scale` times as long as its optimizer says, all from the same gradient.

        Transformations that want them (line searches) get the loss and a function of the group's parameters.
        """
        loss = context.loss, context.gradient, context.loss_and_gradient
        return *self._step(parameters, state, *loss, context.step_scale), ()

    def _step(
        self,
        parameters: Parameters,
        states: Sequence[Any],
        value: Any,
        gradient: Float[Array, " p"],
        loss_and_gradient: LossAndGradient,
        step_scale: Any,
    ) -> tuple[Parameters, tuple[Any, ...]]:
        split = self._split(parameters, gradient)
        changed, new_states = dict(parameters), []
        for (optimizer, members), state in zip(self.groups, states, strict=True):
            old, gradients = _members(parameters, members), _members(split, members)

            def loss(group: Any, members: Sequence[Trainable] = members, old: Any = old) -> Any:
                # With 64-bit numbers switched on, a line search in 32 bits tries steps in 64.
                group = jax.tree.map(lambda leaf, of_old: leaf.astype(of_old.dtype), group, old)
                return self._differentiable(loss_and_gradient, parameters, members)(group)

            updates, new_state = optimizer.update(gradients, state, old, value=value, grad=gradients, value_fn=loss)
            new: Any = optax.apply_updates(old, jax.tree.map(lambda step: step_scale * step, updates))
            changed.update(zip(members, new, strict=True))
            new_states.append(strong(new_state, gradient.dtype))
        return changed, tuple(new_states)

    def _split(self, parameters: Parameters, gradient: Float[Array, " p"]) -> Parameters:
        """The gradient vector as trees like the parameters."""
        leaves_of = ravel_pytree([selection.take(parameters[selection.trainable]) for selection in self.wrt])[1]
        return put_selected(parameters, self.wrt, leaves_of(gradient))

    def _differentiable(
        self, loss_and_gradient: LossAndGradient, parameters: Parameters, members: Sequence[Trainable]
    ) -> Callable[[Any], Any]:
        """The loss as a function of one group, with our gradient as its derivative.

        JAX must not differentiate the loss itself: it holds communication.
        """

        @jax.custom_jvp
        def loss(group: Any) -> Any:
            return loss_and_gradient({**parameters, **dict(zip(members, group, strict=True))})[0]

        @loss.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (group,), (tangent,) = primals, tangents
            value, gradient = loss_and_gradient({**parameters, **dict(zip(members, group, strict=True))})
            gradients = _members(self._split(parameters, gradient), members)
            products = jax.tree.map(jnp.vdot, gradients, tangent)
            return value, sum(jax.tree.leaves(products))

        return loss


def by_optimizer(optimizers: Mapping[Trainable, Any]) -> list[tuple[Any, list[Trainable]]]:
    """Each optimizer object, with what it trains; equal objects are not merged."""
    groups: dict[int, tuple[Any, list[Trainable]]] = {}
    for trainable, optimizer in optimizers.items():
        groups.setdefault(id(optimizer), (optimizer, []))[1].append(trainable)
    return list(groups.values())


def strong(tree: PyTree, dtype: DTypeLike) -> PyTree:
    """A tree without weak types: floats of such a type get `dtype`, as they do beside numbers of that.

    JAX compiles a program once for weak types and once for others, which steps return sooner or later.
    """

    def strong_leaf(leaf: Any) -> Any:
        aval = jax.typeof(leaf)
        if not aval.weak_type:
            return jnp.asarray(leaf)
        return jax.lax.convert_element_type(leaf, dtype if jnp.issubdtype(aval.dtype, jnp.floating) else aval.dtype)

    return jax.tree.map(strong_leaf, tree)


def _members(parameters: Parameters, members: Sequence[Trainable]) -> tuple[Any, ...]:
    return tuple(parameters[trainable] for trainable in members)


def _refuse_another_structure(states: Any, after: Any) -> None:
    """Raise TypeError where a step returns a state that the next one could not take."""
    before, structure = jax.tree_util.tree_flatten_with_path(states)
    returned, other = jax.tree_util.tree_flatten_with_path(after)
    differ = [
        f"{jax.tree_util.keystr(path)} of shape {jnp.shape(leaf)} comes back with {new.shape}"
        for (path, leaf), (_, new) in zip(before, returned, strict=False)
        if jnp.shape(leaf) != new.shape
    ]
    if structure != other or differ:
        raise TypeError(
            f"an optimizer's update returns another kind of state than its init: "
            f"{differ[0] if structure == other else f'{other} for {structure}'}. Let both return states of the same "
            f"structure and shapes. Nothing was trained"
        )


def refuse_line_search(optimizers: FirstOrder, parameters: Parameters) -> None:
    """Raise ValueError if an optimizer asks for the loss at other parameters.

    Its gradient there is not the direction of the update.
    """
    calls = []

    def loss(group: Any) -> Any:
        calls.append(group)
        return jnp.zeros(())

    for optimizer, members in optimizers.groups:
        group = _members(parameters, members)
        state = jax.eval_shape(optimizer.init, group)
        jax.eval_shape(
            lambda g, s, o=optimizer: o.update(g, s, g, value=jnp.zeros(()), grad=g, value_fn=loss), group, state
        )
    if calls:
        raise ValueError(
            "conflict= changes the direction of an update, and the optimizer searches along it for a fall of the loss "
            "(optax.lbfgs does): train with one that does not, such as optax.adam"
        )
