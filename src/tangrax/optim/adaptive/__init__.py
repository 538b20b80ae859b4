"""Adaptive weights of terms and points, and updates free of conflict: rules that learn every few epochs."""

from .adaptive_rule import AdaptiveMethod as AdaptiveMethod, AdaptiveRule as AdaptiveRule
from .causal import causal as causal
from .composition import (
    AdaptiveRules as AdaptiveRules,
    adaptive_methods as adaptive_methods,
    compile_rules as compile_rules,
)
from .conditions_first import conditions_first as conditions_first
from .gradient_conflict import Conflict as Conflict, config as config, pcgrad as pcgrad
from .loss_weights import grad_norm as grad_norm, ntk_balance as ntk_balance, relobralo as relobralo
from .point_weights import residual_attention as residual_attention, self_adaptive as self_adaptive
