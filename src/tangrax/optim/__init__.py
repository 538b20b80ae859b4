"""Optimizers that use the structure of the loss: `tx.optim`."""

from .gauss_newton import (
    GaussNewton as GaussNewton,
    Progress as Progress,
    SecondOrder as SecondOrder,
    gauss_newton as gauss_newton,
)
