"""Monitoring of a run while it trains: progress, profiles, sinks, views in a notebook."""

from . import sinks as sinks
from .notebook import solver_view as solver_view
from .profile import PROFILE as PROFILE, profiling as profiling
from .progress import ProgressBar as ProgressBar
