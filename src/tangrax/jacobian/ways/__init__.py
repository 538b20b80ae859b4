"""Ways to K, JᵀJ and the spectrum of K: one class a way, with its predicted cost and its program."""

from .density_way import DensityWay as DensityWay
from .dual_gram_way import dual_gram_plan as dual_gram_plan
from .gram_eigenvalues_way import GramEigenvaluesWay as GramEigenvaluesWay
from .gram_way import gram_plan as gram_plan
from .lanczos_way import LanczosWay as LanczosWay
from .request_way import RequestWay as RequestWay
from .singular_values_way import SingularValuesWay as SingularValuesWay
from .spectrum_way import SpectrumWay as SpectrumWay
