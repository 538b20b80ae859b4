"""Diagnosis from parameter Jacobians: rows, group means, the tangent kernel and its spectrum."""

from .density import Density as Density, Estimate as Estimate
from .evaluator import Evaluator as Evaluator, refuse_empty_groups as refuse_empty_groups
from .means import RULES as RULES
from .plan import Plan as Plan, Way as Way
from .requests import RESULT_LIMIT as RESULT_LIMIT, evaluate as evaluate, plan as plan
from .rows import refuse_oversized as refuse_oversized
from .spectrum import Condition as Condition, Spectrum as Spectrum
