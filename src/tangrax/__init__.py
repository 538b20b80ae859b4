"""Tangrax: a distributed PINN solver that shows, during training, what the network is learning."""

from . import (
    domain as domain,
    jacobian as jacobian,
    nn as nn,
    numpy as np,
    optim as optim,
    parallel as parallel,
    problems as problems,
)
from .checkpoint import load as load
from .monitor import sinks as sinks
from .parallel import setup as setup
from .solve import NonFiniteLoss as NonFiniteLoss
from .solver import Solver as Solver, core as core

__all__ = [
    "NonFiniteLoss",
    "Solver",
    "core",
    "domain",
    "jacobian",
    "load",
    "nn",
    "np",
    "optim",
    "problems",
    "setup",
    "sinks",
]
__version__ = "0.1.0"
