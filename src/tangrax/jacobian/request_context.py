"""A request for a kernel or spectrum with its Jacobians on their devices."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..expr import Node, Request
from ..lower import refuse_unknown
from .expression_evaluator import Evaluator
from .gram import Choice, Rows
from .sharded_jacobian import Body, ShardedJacobian, abstract_rows, cheapest_choice, run_in_shards


@dataclass(frozen=True, eq=False)
class RequestContext:
    """A request, its one or two Jacobians on their devices, and the arguments of `evaluate`."""

    request: Request
    jacobians: tuple[ShardedJacobian, ...]
    evaluator: Evaluator
    points: Mapping[str, Any]  # new points by tag
    sharded: bool
    limit: int

    @classmethod
    def of(
        cls, request: Request, evaluator: Evaluator, points: Mapping[str, Any], sharded: bool, limit: int
    ) -> "RequestContext":
        nodes: list[Node] = [request.node] if request.other is None else [request.node, request.other]
        refuse_unknown(list(dict.fromkeys(tag for node in nodes if (tag := node.points))), points)
        jacobians = tuple(ShardedJacobian.of(node, evaluator, points) for node in nodes)
        return cls(request, jacobians, evaluator, points, sharded, limit)

    @property
    def jacobian(self) -> ShardedJacobian:
        return self.jacobians[0]

    @property
    def pointwise(self) -> bool:
        """Whether all fields are functions of one point."""
        return all(jacobian.pointwise for jacobian in self.jacobians)

    @property
    def eps(self) -> float:
        """Unit round-off of J."""
        return float(np.finfo(self.evaluator.dtype).eps)

    @cached_property
    def abstract_rows(self) -> list[Rows]:
        return abstract_rows(self.jacobians, self.evaluator)

    @cached_property
    def choice(self) -> Choice:
        """Factors or rows, for each leaf, of the kernel of pointwise fields."""
        return cheapest_choice(self.abstract_rows, self.evaluator)

    @property
    def plan_key(self) -> tuple[Any, ...]:
        """Everything that plans depend on beside parameters' shapes."""
        return self.request, tuple(jacobian.layout for jacobian in self.jacobians), self.sharded, self.limit

    def run(self, name: str, key: Hashable, body: Body, *arrays: Any) -> tuple[Any, Any]:
        """`run_in_shards` for these Jacobians."""
        return run_in_shards(name, self.jacobians, self.evaluator, key, body, *arrays)

    def values_on_devices(self, *nodes: Node) -> list[Any]:
        """Values of fields, their rows on their devices."""
        return self.evaluator.values(nodes, self.points, True, 2**62)
