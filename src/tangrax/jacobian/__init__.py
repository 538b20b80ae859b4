"""Diagnosis from parameter Jacobians: rows, group means, the spectrum of the tangent kernel."""

from .means import RULES as RULES
from .requests import answer as answer
from .rows import blocks as blocks, refuse_oversized as refuse_oversized
from .spectrum import Condition as Condition, Spectrum as Spectrum
