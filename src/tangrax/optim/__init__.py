"""Optimizers that use the structure of the loss: `tx.optim`."""

from .gauss_newton import GaussNewton as GaussNewton, gauss_newton as gauss_newton
from .second_order import SecondOrder as SecondOrder, Settings as Settings
from .spring import Spring as Spring, spring as spring
