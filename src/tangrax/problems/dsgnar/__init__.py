"""The problems of DSGNAR (Webb, Jerad and Cartis, arXiv 2607.02194), with its points and networks."""

from .experiments import EXPERIMENTS as EXPERIMENTS
