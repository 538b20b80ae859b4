"""Problems of the library: terms to train on, answers to compare, and settings that solve them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis import Field
from ..expr import Node, PointSet, all_nodes, ops
from ..optim.second_order import gauss_newton
from ..solver import Solver, core

HELD_OUT = 2000  # points at which a field is compared


@dataclass(frozen=True, eq=False)
class Answer:
    """An unknown field or number, and its reference.

    A field is compared with an expression on points held out, or with values at given points: `exact` has one for
    each row of coordinates of `at`. A term, such as an unknown coefficient, is compared with a number. `over` has the
    quantities that a picture is drawn over, by name, where they are not the coordinates of the field.
    """

    unknown: Node
    exact: Node | np.ndarray | float
    at: np.ndarray | None = None
    over: Mapping[str, Node] | None = None

    @property
    def shown(self) -> Any:
        """For a report: the unknown, with its reference where that is a field or an array."""
        if self.unknown.points is None:
            return self.unknown
        return Field(self.unknown, self.exact, None if isinstance(self.exact, Node) else self.at, self.over or {})

    def error(self, solver: Solver) -> float:
        """Return the relative L2 error of a field, or the relative error of a term.

        Args:
            solver: of the task that the answer belongs to.
        """
        _, values, exact = self.compared(solver)
        return float(np.linalg.norm(values - exact) / np.linalg.norm(exact))

    def compared(self, solver: Solver, count: int = HELD_OUT) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """Return coordinates, values and reference at points that training did not see.

        Args:
            solver: of the task that the answer belongs to.
            count: number of points, where the reference is an expression; else those of the reference.

        Returns:
            Coordinates (n, axes), values (n,) and reference (n,); no coordinates for a term.
        """
        points = self.unknown.points
        if points is None:
            return None, solver.eval(self.unknown), np.asarray(self.exact)
        at = points.held_out(count, 1).coordinates if self.at is None else self.at
        at_points = {points.tag: at}
        if not isinstance(self.exact, Node):
            return at, solver.eval(self.unknown, points=at_points), np.asarray(self.exact)
        values, exact = solver.eval([self.unknown, self.exact], points=at_points)
        return at, values, exact


@dataclass(frozen=True, eq=False)
class Task:
    """A problem ready to be trained: the terms of the loss by name, the answers by name.

    `equations` are the names of the terms that are differential equations; the others are conditions and data.
    """

    terms: Mapping[str, Node]
    answers: Mapping[str, Answer]
    equations: tuple[str, ...] = ("pde",)

    def weighted(self, weight: float) -> dict[str, Node]:
        """Return the terms by name, those of the equations times a weight.

        Args:
            weight: positive.
        """
        return {name: weight * term if name in self.equations else term for name, term in self.terms.items()}

    def score(self, solver: Solver) -> float:
        """Return the relative L2 error of all answers together, as tables of several outputs have it.

        Args:
            solver: of this task.
        """
        compared = [answer.compared(solver)[1:] for answer in self.answers.values()]
        values, exact = (np.concatenate([np.ravel(each) for each in side]) for side in zip(*compared, strict=True))
        return float(np.linalg.norm(values - exact) / np.linalg.norm(exact))

    @property
    def show(self) -> dict[str, Any]:
        """The answers for a report: fields, beside their references where these are fields or arrays."""
        return {name: answer.shown for name, answer in self.answers.items()}

    @property
    def point_sets(self) -> list[PointSet]:
        """The point sets that terms are on, in their order."""
        return list(dict.fromkeys(node.points for node in all_nodes(self.terms.values()) if node.points is not None))

    @property
    def points(self) -> int:
        """Number of collocation points, those on boundaries and of measurements among them."""
        return sum(map(len, self.point_sets))

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        nodes = all_nodes(self.terms.values())
        return sum(
            trainable.size for trainable in {node.op.trainable for node in nodes if isinstance(node.op, ops.Call)}
        )


@dataclass(frozen=True)
class Solved:
    """A trained solver, its task, and the errors of its answers."""

    solver: Solver
    task: Task
    errors: dict[str, float]
    """relative error of each answer"""
    seconds: float
    """of training, compilation included"""

    @property
    def error(self) -> float:
        """The largest error."""
        return max(self.errors.values())

    @property
    def score(self) -> float:
        """The relative L2 error of all answers together."""
        return self.task.score(self.solver)


@dataclass(frozen=True)
class Problem:
    """An equation with a reference solution. `build` makes a task from the seed of its networks."""

    name: str
    equation: str
    reference: str
    build: Callable[[int], Task]
    epochs: int
    optimizer: Callable[[], Any] = field(default=gauss_newton, kw_only=True)

    def solve(
        self,
        *,
        epochs: int | None = None,
        seed: int = 0,
        devices: int | None = None,
        progress: bool = True,
        run_dir: str | Path | None = None,
        resume: str = "auto",
    ) -> Solved:
        """Train and compare with the reference. Needs `tx.setup(dtype="float64")`.

        Args:
            epochs: at most; training ends before where it no longer gets on. By default those of the problem.
            seed: of the networks.
            devices: number of devices; all by default.
            progress: show a progress bar.
            run_dir: directory of the run, as in `solver.solve`; its report shows the answers that are fields.
            resume: as in `solver.solve`.

        Returns:
            The trained solver, its task, errors and seconds.

        Raises:
            NonFiniteLoss: a loss or gradient is not finite.
        """
        count = self.epochs if epochs is None else epochs
        task = self.build(seed)
        solver = core(dict(task.terms), optimizer=self.optimizer(), devices=devices)
        settings: dict[str, Any] = {"progress": progress, "run_dir": run_dir, "resume": resume, "show": task.show}
        began = time.perf_counter()
        while solver.epoch < count and not solver.stalled:
            solver.solve(min(20, count - solver.epoch), **settings)
        seconds = time.perf_counter() - began
        return Solved(solver, task, {name: answer.error(solver) for name, answer in task.answers.items()}, seconds)


@dataclass(frozen=True)
class LibraryProblem(Problem):
    """A problem with settings that are known to solve it.

    After `epochs` of training the error is `target` or less on most seeds; that takes at most `budget` seconds of one
    core, compilation included. A quick run of `quick` epochs ends below `limit`: what continuous integration looks at.
    """

    target: float
    quick: int
    limit: float
    budget: float = 300.0


@dataclass(frozen=True, kw_only=True)
class BenchmarkProblem(Problem):
    """A problem as others state it: the equations alone, all weights 1, no settings that are known to solve it.

    `reference_error` is the relative L2 error of our reference, by refinement; `published` is the least relative L2
    error that was published, by the method `published_by`, for the statement that others solved.
    """

    reference_error: float
    published: float
    published_by: str


def refuse_outside(times: np.ndarray, end: float) -> None:
    """Raise ValueError for times outside of 0 to `end`, where a reference is not known."""
    wrong = times[(times < 0) | (times > end)]
    if wrong.size:
        raise ValueError(f"t = {wrong[0]:g} lies outside of 0 to {end:g}, the times of this reference")
