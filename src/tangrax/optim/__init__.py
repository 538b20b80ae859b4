"""Optimizers that use the structure of the loss, and choices of the points to train on: `tx.optim`."""

from .gauss_newton import (
    GaussNewton as GaussNewton,
    Progress as Progress,
    SecondOrder as SecondOrder,
    gauss_newton as gauss_newton,
)
from .resample import (
    Resampling as Resampling,
    Scene as Scene,
    r3 as r3,
    rad as rad,
    rar_d as rar_d,
    uniform as uniform,
)
