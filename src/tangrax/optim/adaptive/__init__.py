"""Adaptive weights of terms and points, and updates free of conflict: rules that learn every few epochs."""

from .adaptive_rule import Guide as Guide, Steering as Steering
from .binding import Guidance as Guidance, bound as bound, steerings as steerings
from .causal import causal as causal
from .gradient_conflict import Conflict as Conflict, config as config, pcgrad as pcgrad
from .loss_weights import grad_norm as grad_norm, ntk_balance as ntk_balance, relobralo as relobralo
from .point_weights import residual_attention as residual_attention, self_adaptive as self_adaptive
