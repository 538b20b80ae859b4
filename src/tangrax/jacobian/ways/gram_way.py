"""Ways to K = J_a J_bᵀ: tile by tile without its rows, or from rows of J."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...parallel import ShardedRows
from ..gram import Choice, accumulation, stored
from ..gram_cost import gram_cost
from ..plan import FEWER, Plan, as_size, capacity
from ..request_context import RequestContext
from .request_way import RequestWay


@dataclass(frozen=True, kw_only=True)
class TiledGramWay(RequestWay):
    """Tile by tile, by factors where they are cheaper than rows; rows are held, or formed anew for each tile."""

    choice: Choice

    @classmethod
    def plan(cls, context: RequestContext, held: bool) -> "TiledGramWay":
        choice = replace(context.choice, held=held)
        name = "factors" if choice.split.weights else "rows of J"
        note = "rows of J are held where they are cheaper than factors" if held else "rows are formed for each tile"
        cost = gram_cost(context.abstract_rows, choice)
        return cls(name if held else f"{name}, not held", *cost, note=note, choice=choice)

    def run(self, context: RequestContext) -> np.ndarray | ShardedRows:
        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            rows = stored(collectives, sides, self.choice)
            return (), rows[:, 0] if rows.shape[1] == 1 else rows

        _, rows = context.run("tangent kernel", self.choice, body)
        kernel = ShardedRows([rows], context.jacobian.layout, context.evaluator.transport)
        return kernel if context.sharded else kernel.gather().reshape(context.jacobian.size, -1)


@dataclass(frozen=True, kw_only=True)
class RowsGramWay(RequestWay):
    """From all rows of J, of fields that hold values of all points."""

    @classmethod
    def plan(cls, context: RequestContext) -> "RowsGramWay":
        if context.sharded and any(jacobian.group is not None for jacobian in context.jacobians):
            raise ValueError(
                f"{context.request}: the field holds values of all points, so its group's points lie unevenly on the "
                f"devices; evaluate it without sharded=True"
            )
        numbers = sum(J.layout.rows * J.components * J.columns for J in context.jacobians)
        held = numbers * context.evaluator.dtype.itemsize
        memory = 2 * held + _bytes(context) // context.evaluator.transport.size
        flops = 2.0 * math.prod(_shape(context)) * context.jacobian.columns
        return cls("rows of J, all of them formed", memory, flops, held)

    def run(self, context: RequestContext) -> np.ndarray | ShardedRows:
        left, *right = context.values_on_devices(*(jacobian.rows for jacobian in context.jacobians))
        kernel = left @ (right[0] if right else left).T
        if context.sharded:
            return kernel
        # Of all points, those outside of a group too.
        blocks = kernel.gather()
        whole = blocks.reshape(len(blocks) * context.jacobian.components, -1)
        for axis, jacobian in enumerate(context.jacobians * (3 - len(context.jacobians))):
            if jacobian.group is not None:
                inside = context.evaluator.at(jacobian.group, context.points)
                whole = np.compress(np.repeat(inside, jacobian.components), whole, axis=axis)
        return whole


def gram_plan(context: RequestContext) -> Plan[RequestWay]:
    """Ways to K, and whether it can be returned as one array."""
    shape, size = _shape(context), _bytes(context)
    if context.pointwise:
        ways = tuple(TiledGramWay.plan(context, held) for held in (True, False))
    else:
        ways = (RowsGramWay.plan(context),)
    refused = ""
    if not context.sharded and size > context.limit:
        refused = (
            f"{context.request} is an array of {shape}, {as_size(size)}; results up to {as_size(context.limit)} are "
            f"returned as one array. Take eval(..., sharded=True), which leaves its rows on their devices, or fewer "
            f"points"
        )
    transport, mend = context.evaluator.transport, f"{FEWER}, or take spectrum(k=20), K @ w"
    return Plan(f"{context.request} of {shape}", ways, capacity(transport), transport.size, mend, refused)


def _shape(context: RequestContext) -> tuple[int, int]:
    return context.jacobians[0].size, context.jacobians[-1].size


def _bytes(context: RequestContext) -> int:
    return math.prod(_shape(context)) * np.dtype(accumulation(context.evaluator.dtype)).itemsize
