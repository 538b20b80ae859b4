"""Diagnosis from parameter Jacobians: rows, group means, the spectrum of the tangent kernel."""

from .factors import Factors as Factors, factors_at as factors_at, kernel as kernel
from .means import RULES as RULES
from .requests import Source as Source, answer as answer
from .rows import blocks as blocks, refuse_oversized as refuse_oversized
from .spectrum import Condition as Condition, Spectrum as Spectrum
