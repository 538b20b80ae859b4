"""Measurements of each problem by `benchmarks/problems.py`, shipped with the package."""

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Measured:
    """Error of the worst answer and seconds of training, over several seeds."""

    error: float
    """median over seeds"""
    errors: list[float]
    """of each seed"""
    seconds: float
    """median, compilation included"""
    epochs: int
    """median; training ends before the epochs of the problem where it no longer gets on"""
    points: int
    parameters: int
    commit: str
    machine: str


def measured() -> dict[str, Measured]:
    """Return measurements by the name of the problem; one that was never measured is missing."""
    text = files("tangrax.problems").joinpath("measured.json").read_text(encoding="utf-8")
    return {name: Measured(**figures) for name, figures in json.loads(text).items()}
