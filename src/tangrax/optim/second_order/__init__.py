"""Second-order steps on the residuals of a loss."""

from .gauss_newton import GaussNewton as GaussNewton, gauss_newton as gauss_newton
from .second_order_optimizer import SecondOrder as SecondOrder, Settings as Settings
from .spring import Engd as Engd, Spring as Spring, engd as engd, spring as spring
