"""Diagnosis from parameter Jacobians: rows and group means."""

from .means import RULES as RULES
from .rows import blocks as blocks, refuse_oversized as refuse_oversized
