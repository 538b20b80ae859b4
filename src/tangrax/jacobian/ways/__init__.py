"""Ways to K, JᵀJ and the spectrum of K: one class a way, with its predicted cost and its program."""

from .dual_gram_way import dual_gram_plan as dual_gram_plan
from .gram_way import gram_plan as gram_plan
from .request_way import RequestContext as RequestContext, RequestWay as RequestWay
from .spectrum_plan import SPECTRUM_WAYS as SPECTRUM_WAYS, spectrum_plan as spectrum_plan
