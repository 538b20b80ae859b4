"""`tx.np`: jax.numpy for symbolic fields and terms.

Every function acts on the values at each point; reductions without an axis run over the points.
"""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp

from .expr import (
    cosine as cosine,
    function as function,
    lift,
    lift_reduction,
    lift_sequence,
    norms as norms,
    periodic as periodic,
    projections as projections,
    relative_l2 as relative_l2,
    stop_gradient as stop_gradient,
    tracker as tracker,
)

pi = math.pi
e = math.e

sin = lift(jnp.sin)
cos = lift(jnp.cos)
tan = lift(jnp.tan)
arcsin = lift(jnp.arcsin)
arccos = lift(jnp.arccos)
arctan = lift(jnp.arctan)
arctan2 = lift(jnp.arctan2)
sinh = lift(jnp.sinh)
cosh = lift(jnp.cosh)
tanh = lift(jnp.tanh)
exp = lift(jnp.exp)
expm1 = lift(jnp.expm1)
log = lift(jnp.log)
log1p = lift(jnp.log1p)
log10 = lift(jnp.log10)
sqrt = lift(jnp.sqrt)
cbrt = lift(jnp.cbrt)
square = lift(jnp.square)
power = lift(jnp.power)
abs = lift(jnp.abs)
sign = lift(jnp.sign)
floor = lift(jnp.floor)
ceil = lift(jnp.ceil)
mod = lift(jnp.mod)
hypot = lift(jnp.hypot)
maximum = lift(jnp.maximum)
minimum = lift(jnp.minimum)
clip = lift(jnp.clip)
heaviside = lift(jnp.heaviside)
sinc = lift(jnp.sinc)
erf = lift(jax.scipy.special.erf)
sigmoid = lift(jax.nn.sigmoid)
softplus = lift(jax.nn.softplus)
where = lift(jnp.where)
isfinite = lift(jnp.isfinite)
isnan = lift(jnp.isnan)
equal = lift(jnp.equal)
logical_and = lift(jnp.logical_and)
logical_or = lift(jnp.logical_or)
logical_not = lift(jnp.logical_not)

dot = lift(jnp.dot)
vdot = lift(jnp.vdot)
inner = lift(jnp.inner)
outer = lift(jnp.outer)
cross = lift(jnp.cross)
matmul = lift(jnp.matmul)
trace = lift(jnp.trace)
transpose = lift(jnp.transpose)
reshape = lift(jnp.reshape)
ravel = lift(jnp.ravel)
stack = lift_sequence(jnp.stack)
concatenate = lift_sequence(jnp.concatenate)

mean = lift_reduction(jnp.mean, "mean")
sum = lift_reduction(jnp.sum, "sum")
max = lift_reduction(jnp.max, "max")
min = lift_reduction(jnp.min, "min")
std = lift_reduction(jnp.std, "std")

linalg = SimpleNamespace(
    norm=lift(jnp.linalg.norm, "linalg."), det=lift(jnp.linalg.det, "linalg."), inv=lift(jnp.linalg.inv, "linalg.")
)
