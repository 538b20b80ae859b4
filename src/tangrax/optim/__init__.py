"""Optimizers that use the structure of the loss, and choices of the points to train on: `tx.optim`."""

from .adaptive import (
    AdaptiveMethod as AdaptiveMethod,
    AdaptiveRule as AdaptiveRule,
    AdaptiveRules as AdaptiveRules,
    Conflict as Conflict,
    adaptive_methods as adaptive_methods,
    causal as causal,
    compile_rules as compile_rules,
    conditions_first as conditions_first,
    config as config,
    grad_norm as grad_norm,
    ntk_balance as ntk_balance,
    pcgrad as pcgrad,
    relobralo as relobralo,
    residual_attention as residual_attention,
    self_adaptive as self_adaptive,
)
from .adaptive_sampling import (
    Resampling as Resampling,
    SamplingContext as SamplingContext,
    r3 as r3,
    rad as rad,
    rar_d as rar_d,
    uniform as uniform,
)
from .build_optimizer import Chosen as Chosen, joint_optimizer as joint_optimizer
from .first_order import FirstOrder as FirstOrder, by_optimizer as by_optimizer
from .optimizer_protocol import (
    LossAndGradient as LossAndGradient,
    Optimizer as Optimizer,
    Parameters as Parameters,
    UpdateContext as UpdateContext,
)
from .quasi_newton import self_scaled_bfgs as self_scaled_bfgs, self_scaled_broyden as self_scaled_broyden
from .residuals import squares_of as squares_of
from .second_order import (
    Engd as Engd,
    GaussNewton as GaussNewton,
    SecondOrder as SecondOrder,
    Settings as Settings,
    Spring as Spring,
    engd as engd,
    gauss_newton as gauss_newton,
    spring as spring,
)
from .soap import soap as soap
