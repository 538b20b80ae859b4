"""Diagnosis from parameter Jacobians: rows, group means, the tangent kernel and its spectrum."""

from .density import Density as Density, Estimate as Estimate
from .evaluator import Evaluator as Evaluator, refuse_empty_groups as refuse_empty_groups
from .functions import (
    Products as Products,
    gram as gram,
    means as means,
    plan as plan,
    products as products,
    rows as rows,
    spectrum as spectrum,
)
from .means import RULES as RULES
from .plan import Plan as Plan, Way as Way
from .requests import RESULT_LIMIT as RESULT_LIMIT, evaluate as evaluate, plan_of as plan_of
from .rows import refuse_oversized as refuse_oversized
from .spectrum import Condition as Condition, NotFinite as NotFinite, Spectrum as Spectrum
from .watch import RANK as RANK, SpectrumProgram as SpectrumProgram, watched as watched
