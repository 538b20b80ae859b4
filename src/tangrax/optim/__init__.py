"""Optimizers that use the structure of the loss, and choices of the points to train on: `tx.optim`."""

from .balance import grad_norm as grad_norm, ntk_balance as ntk_balance, relobralo as relobralo
from .bind import Guidance as Guidance, bound as bound, steerings as steerings
from .causal import causal as causal
from .conflict import Conflict as Conflict, config as config, pcgrad as pcgrad
from .gauss_newton import GaussNewton as GaussNewton, gauss_newton as gauss_newton
from .guide import Guide as Guide, Steering as Steering
from .pointwise import residual_attention as residual_attention, self_adaptive as self_adaptive
from .resample import (
    Resampling as Resampling,
    Scene as Scene,
    r3 as r3,
    rad as rad,
    rar_d as rar_d,
    uniform as uniform,
)
from .residuals import squares_of as squares_of
from .second_order import SecondOrder as SecondOrder, Settings as Settings
from .spring import Spring as Spring, spring as spring
