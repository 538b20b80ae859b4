"""Diagnosis from parameter Jacobians: rows, group means, the tangent kernel and its spectrum."""

from .api import gram as gram, means as means, plan as plan, products as products, rows as rows, spectrum as spectrum
from .evaluate_and_plan import RESULT_LIMIT as RESULT_LIMIT, evaluate as evaluate, plan_of as plan_of
from .expression_evaluator import Evaluator as Evaluator, refuse_empty_groups as refuse_empty_groups
from .jacobian_operator import Products as Products
from .plan import Plan as Plan, Way as Way
from .rewrite_rules import RULES as RULES
from .size_limits import refuse_oversized as refuse_oversized
from .spectral_density import Density as Density, Estimate as Estimate
from .spectrum import Condition as Condition, NotFinite as NotFinite, Spectrum as Spectrum
from .spectrum_tracker import RANK as RANK, SpectrumProgram as SpectrumProgram, watched as watched
