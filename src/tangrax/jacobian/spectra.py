"""Ways to the spectrum of K, and which of them is taken."""

import json
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg

from ..expr import Request
from ..parallel import decomposed, singular_values, singular_values_bytes, triangle, undefined
from .density import Density
from .evaluator import Evaluator
from .gram import accumulation, dual, over_chunks, squares, stored
from .lanczos import PROBES, Ritz, largest, pushed, quadrature
from .plan import FEWER, Plan, Way
from .sharded_jacobian import ShardedJacobian, choice_of, looked_at, run
from .spectrum import RESOLVED, NotFinite, Spectrum
from .way_costs import dual_way, kernel_way, krylov_way

ROWS, GRAM, DUAL = "singular values of J", "eigenvalues of K", "eigenvalues of JᵀJ"
LANCZOS, DENSITY = "Lanczos' method", "stochastic Lanczos quadrature"
SMALL = 512  # eigenvalues up to which all of them cost hardly more than the largest few
STEPS = 48  # of a density: its nodes then lie closer than the widths of interest
FORMED = 8  # roundings of λ_max that an eigenvalue of a K that was formed, or applied, is wrong by


def spectrum_plan(request: Request, subject: ShardedJacobian, evaluator: Evaluator, limit: int) -> Plan:
    """Which ways there are, those that resolve most first."""
    transport, rows, columns = evaluator.transport, subject.size, subject.columns
    k, wanted = request.option("k"), request.option("way")
    ways = {"rows": [_rows_way(subject, evaluator)]}
    if subject.pointwise:
        (side,) = looked_at([subject], evaluator)
        choice = choice_of([side], evaluator)
        if columns < rows:
            formed = dual_way(DUAL, side)
            on_host, streamed = columns, dual_way("", side)
        else:
            formed, streamed = kernel_way(GRAM, [side], choice), kernel_way("", [side], choice, stores=False)
            on_host = rows
        # LAPACK on the first host: the matrix in double precision, and a copy that it overwrites.
        formed = replace(
            formed, memory=formed.memory + 16 * on_host**2, flops=formed.flops + 4 / 3 * on_host**3, choice=choice
        )
        ways["gram"] = [formed]
        steps = steps_for(k or 20, rows, columns)
        krylov = krylov_way(LANCZOS, side, steps)
        ways["lanczos"] = [
            replace(
                krylov,
                memory=max(krylov.memory, streamed.memory),
                flops=krylov.flops + streamed.flops,
                moved=krylov.moved + streamed.moved,
                note=f"{steps} products at first, more until {k} eigenvalues stand; effective rank exact",
                choice=choice,
            )
        ]
        ways["density"] = [krylov_way(DENSITY, side, min(STEPS, rows, columns), PROBES)]
    order = ["rows", "gram"]
    if k is not None:
        order = ["rows", "gram", "lanczos"] if min(rows, columns) <= SMALL else ["lanczos", "rows", "gram"]
    if wanted is not None:
        order = [wanted]
        if wanted not in ways:
            raise ValueError(
                f"{request}: the field holds values of all points, so its J is known by rows alone; leave out way="
            )
    found = [way for name in order for way in ways.get(name, [])]
    mend = FEWER if k is not None or not subject.pointwise else f"{FEWER}; or take the largest alone, spectrum(k=20)"
    what = f"{request} of {rows} rows and {columns} parameters"
    return Plan(what, tuple(found), limit, transport.size, mend)


def spectrum(
    request: Request, subject: ShardedJacobian, way: Way, evaluator: Evaluator, points: Any
) -> Spectrum | Density:
    """By the way chosen; raises NotFinite where J is not."""
    k, vectors = request.option("k"), request.option("vectors") or 0
    try:
        match way.name:
            case found if found == ROWS:
                whole = _by_rows(subject, evaluator, points, vectors)
            case found if found in (GRAM, DUAL):
                whole = _by_matrix(subject, way, evaluator, vectors)
            case found if found == LANCZOS:
                return _by_lanczos(subject, way, evaluator, k, vectors)
            case _:
                return _density(subject, way, evaluator)
    except NotFinite as error:
        raise NotFinite(f"{request}: {_why_not_finite(subject, evaluator, points)}") from error
    if k is None or k >= len(whole.singular_values):
        return whole
    values = whole.singular_values[:k]
    return replace(whole, singular_values=values, exact_trace=whole.trace, exact_square=whole.square)


def _why_not_finite(subject: ShardedJacobian, evaluator: Evaluator, points: Any) -> str:
    """Which rows of J are to blame: one more pass, when there is nothing else to tell."""
    if subject.pointwise:

        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            def add(found: Any, chunk: Any) -> Any:
                return found + jnp.sum(~jnp.isfinite(chunk.rows).all(axis=-1), dtype=found.dtype)

            return collectives.sum(over_chunks(sides[0], collectives.rank, add, jnp.zeros((), jnp.int32))), ()

        bad = int(run("rows that are not finite", [subject], evaluator, (), body)[0])
    else:
        (rows,) = evaluator.values([subject.rows], points, True, 2**62)
        sums = (rows @ np.ones(subject.columns)).gather()
        inside = np.ones(len(sums), bool) if subject.group is None else evaluator.at(subject.group, points)
        bad = int(np.sum(~np.isfinite(sums[inside])))
    tag = subject.rows.points
    assert tag is not None
    if bad == 0:
        return (
            f"J is finite at all points of '{tag.tag}', and products of its rows are beyond {evaluator.dtype}: scale "
            f'the field, or take solver.eval(…, dtype="float64")'
        )
    return (
        f"{bad} of {subject.size} rows of J at the points of '{tag.tag}' are not finite: the field or its "
        f"derivative is singular there, as that of sqrt or log at 0. Move the points away, take them out "
        f"(J[condition]), or change the field; J itself, solver.eval({subject.rows}), shows which they are"
    )


def _rows_way(subject: ShardedJacobian, evaluator: Evaluator) -> Way:
    rows, columns, size = subject.size, subject.columns, evaluator.transport.size
    item, smaller = evaluator.dtype.itemsize, min(rows, columns)
    flops = 4.0 * max(rows, columns) * smaller**2 / size
    if subject.pointwise and rows >= columns:
        chunk = max(columns, 256) * columns
        memory = item * ((3 + (size if size > 1 else 0)) * columns**2 + 3 * chunk)
        return Way(ROWS, memory, flops, item * (size - 1) * columns**2, "rows are formed a chunk at a time")
    memory = singular_values_bytes(rows, columns, size, item)
    return Way(ROWS, memory, flops, item * (size - 1) * smaller * (smaller + -(-rows // size)))


def _by_rows(subject: ShardedJacobian, evaluator: Evaluator, points: Any, vectors: int) -> Spectrum:
    rows, columns = subject.size, subject.columns
    if subject.pointwise and rows >= columns:
        return _by_chunks(subject, evaluator, vectors)
    kept = [] if subject.group is None else [subject.group]
    values, *masks = evaluator.values([subject.rows, *kept], points, True, 2**62)
    inside = masks[0].gather() if kept else np.ones(len(values), bool)
    rows = subject.components * int(np.sum(inside))
    if rows == 0:
        raise ValueError(f"{subject.rows}[{subject.group}]: the group holds none of the {len(inside)} points")
    found = singular_values(values, *masks, vectors=vectors)
    found, left = found if vectors else (found, None)
    if left is not None:
        left = left[np.repeat(inside, subject.components)]
    found = np.asarray(found, np.float64)[: min(rows, columns)]
    eps = float(np.finfo(values.dtype).eps)
    return Spectrum(found, rows, columns, eps, vectors=_shaped(left, subject), way=ROWS)


def _by_chunks(subject: ShardedJacobian, evaluator: Evaluator, vectors: int) -> Spectrum:
    """Of at least as many rows as columns: each shard folds a chunk of rows at a time into its triangle."""

    def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
        columns, dtype = subject.columns, jnp.result_type(*sides[0].leaves)

        def add(found: Any, chunk: Any) -> Any:
            return jnp.linalg.qr(jnp.concatenate([found, chunk.rows]), mode="r")

        size = max(columns, 256)
        mine = over_chunks(sides[0], collectives.rank, add, jnp.zeros((columns, columns), dtype), size)
        return triangle(collectives, mine, wide=False), ()

    found, _ = run("singular values", [subject], evaluator, ROWS, body)
    values, right = decomposed(evaluator.transport, found, vectors)
    left = _left(subject, evaluator, right, values) if vectors else None
    eps = float(np.finfo(evaluator.dtype).eps)
    return Spectrum(values.astype(np.float64), subject.size, subject.columns, eps, vectors=left, way=ROWS)


def _by_matrix(subject: ShardedJacobian, way: Way, evaluator: Evaluator, vectors: int) -> Spectrum:
    """LAPACK on K, or on JᵀJ where that is smaller, on the first host: the one place where K is in one piece."""
    transport, choice = evaluator.transport, way.choice
    if way.name == DUAL:
        matrix, _ = run("JᵀJ", [subject], evaluator, (), lambda c, sides: (dual(c, sides[0]), ()))
        held = np.asarray(matrix) if transport.writes else None
    else:

        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            rows = stored(collectives, sides, choice)
            # A point's components one after the other: rows of K as its columns are.
            return (), rows.reshape(-1, rows.shape[-1])

        _, matrix = run("tangent kernel, its rows", [subject], evaluator, choice, body)
        held = transport.collect(matrix)
        held = None if held is None else held[: subject.size]

    def say() -> str:
        if held is None:
            return ""
        whole = held.astype(np.float64)
        if not np.isfinite(whole).all():  # for which LAPACK has no answer
            return undefined(len(whole), vectors)
        if not vectors:
            return json.dumps([np.linalg.eigvalsh(whole)[::-1].tolist(), []])
        values, right = scipy.linalg.eigh(whole)
        return json.dumps([values[::-1].tolist(), right[:, ::-1][:, :vectors].tolist()])

    values, right = map(np.asarray, json.loads(transport.peers.exchange("decomposing", say)[0]))
    values = np.maximum(values, 0)
    singular = np.sqrt(values)[: min(subject.size, subject.columns)]
    left = None
    if vectors:
        left = _left(subject, evaluator, right, singular) if way.name == DUAL else _shaped(right, subject)
    return Spectrum(
        singular,
        subject.size,
        subject.columns,
        float(np.finfo(evaluator.dtype).eps),
        error=_formed(evaluator) * float(values[0]),
        exact_trace=float(np.sum(values)),
        exact_square=float(np.sum(values**2)),
        vectors=left,
        way=way.name,
    )


def _by_lanczos(subject: ShardedJacobian, way: Way, evaluator: Evaluator, k: int, vectors: int) -> Spectrum:
    """The k largest by products with J, more of them until all k stand or no more can be told."""
    rows, columns = subject.size, subject.columns
    k, choice, smaller = min(k, rows, columns), way.choice, columns < rows

    def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
        return squares(collectives, sides[0], choice, smaller), ()

    known, _ = run("trace and norm of K", [subject], evaluator, choice, body)
    found, steps = _largest(subject, evaluator, k)
    values, residuals = np.asarray(found.values, np.float64), np.asarray(found.residuals, np.float64)
    singular = np.sqrt(values)
    left = None
    if vectors:
        left = _left(subject, evaluator, np.asarray(found.vectors)[:, :vectors], singular)
    return Spectrum(
        singular,
        rows,
        columns,
        0.0,  # what rounding does is in the errors: λ itself is off by it, not its root
        error=residuals + _applied(evaluator) * values[0],
        exact_trace=float(known.trace),
        exact_square=float(known.square),
        vectors=left,
        way=f"{LANCZOS}, {steps} products",
    )


def _largest(subject: ShardedJacobian, evaluator: Evaluator, k: int) -> tuple[Ritz, int]:
    """Ritz values, and after how many products: enough that all k stand, or are lost in rounding."""
    attempt = 0
    while True:
        steps = steps_for(k, subject.size, subject.columns, attempt)

        def body(collectives: Any, sides: Any, steps: int = steps) -> tuple[Any, Any]:
            return largest(collectives, sides[0], k, steps), ()

        found, _ = run(LANCZOS, [subject], evaluator, (k, steps), body)
        values, residuals = np.asarray(found.values), np.asarray(found.residuals)
        enough = residuals <= np.maximum(0.1 * RESOLVED * values, _applied(evaluator) * values[0])
        # What is not finite gets no better by more steps.
        if steps == min(subject.size, subject.columns) or np.all(enough) or not np.isfinite(values).all():
            return found, steps
        attempt += 1


def _density(subject: ShardedJacobian, way: Way, evaluator: Evaluator) -> Density:
    steps = way.choice

    def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
        return quadrature(collectives, sides[0], steps), ()

    (nodes, weights), _ = run(DENSITY, [subject], evaluator, steps, body)
    eps = float(np.finfo(evaluator.dtype).eps)
    return Density(np.asarray(nodes, np.float64), np.asarray(weights, np.float64), subject.size, subject.columns, eps)


def steps_for(k: int, rows: int, columns: int, attempt: int = 0) -> int:
    """Products for the k largest eigenvalues: half as many again and some, then twice as many each time."""
    return min(rows, columns, (k + k // 2 + 12) * 2**attempt)


def _formed(evaluator: Evaluator) -> float:
    """The error of an eigenvalue of a K that was formed, in those of λ_max."""
    return FORMED * float(np.finfo(accumulation(evaluator.dtype)).eps)


def _applied(evaluator: Evaluator) -> float:
    """The same of a K that was applied: products with J round as J does."""
    return resolvable(evaluator.dtype)


def resolvable(dtype: Any) -> float:
    """What rounding of products leaves of an eigenvalue, in those of λ_max."""
    return FORMED * float(jnp.finfo(dtype).eps)


def _left(subject: ShardedJacobian, evaluator: Evaluator, right: Any, singular: Any) -> np.ndarray | None:
    """Left singular vectors u = J v / σ, from right ones (P, k)."""

    def body(collectives: Any, sides: Any, right: Any) -> tuple[Any, Any]:
        return (), pushed(sides[0], right)

    _, moved = run("J V", [subject], evaluator, (), body, np.asarray(right, evaluator.dtype))
    rows = evaluator.transport.fetch(moved)[: subject.layout.count].astype(np.float64)
    sizes = singular[: right.shape[1]]
    return _shaped(rows.reshape(subject.size, -1) / np.where(sizes == 0, 1, sizes), subject)


def _shaped(vectors: Any, subject: ShardedJacobian) -> np.ndarray | None:
    """(N, k), or (N, C, k) of a field with components."""
    if vectors is None:
        return None
    return np.asarray(vectors).reshape(-1, *subject.rows.shape[:-1], vectors.shape[1])
