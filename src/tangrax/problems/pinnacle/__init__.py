"""The cases of PINNacle (Hao et al., arXiv 2306.08827), stated so that each has a solution."""

from .cases import CASES as CASES
from .published import published as published
