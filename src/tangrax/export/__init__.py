"""Trained fields, their values and parameters, in files for programs without Tangrax."""

from .files import export as export
