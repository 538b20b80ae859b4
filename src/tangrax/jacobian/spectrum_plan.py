"""Ways to the spectrum of K, in order of preference."""

from .plan import FEWER, Plan
from .request_context import RequestContext
from .ways import DensityWay, GramEigenvaluesWay, LanczosWay, RequestWay, SingularValuesWay, SpectrumWay

SMALL = 512  # eigenvalues up to which all of them cost hardly more than the largest few
SPECTRUM_WAYS: dict[str, type[SpectrumWay]] = {  # by what J.spectrum(way=…) takes
    "rows": SingularValuesWay,
    "gram": GramEigenvaluesWay,
    "lanczos": LanczosWay,
    "density": DensityWay,
}


def spectrum_plan(context: RequestContext) -> Plan[RequestWay]:
    """Ways to a spectrum: the one requested, or those that resolve most first."""
    request, jacobian = context.request, context.jacobian
    k, wanted = request.option("k"), request.option("way")
    ways = _preferred(k, min(jacobian.size, jacobian.columns)) if wanted is None else [SPECTRUM_WAYS[wanted]]
    possible = [way for way in ways if jacobian.pointwise or not way.pointwise_only]
    if not possible:
        raise ValueError(
            f"{request}: the field holds values of all points, so its J is known by rows alone; leave out way="
        )
    mend = FEWER
    if k is None and jacobian.pointwise:
        mend = f"{FEWER}; or take the largest alone, spectrum(k=20)"
    what = f"{request} of {jacobian.size} rows and {jacobian.columns} parameters"
    planned = tuple(way.plan(context) for way in possible)
    return Plan(what, planned, context.limit, context.evaluator.transport.size, mend)


def _preferred(k: int | None, eigenvalues: int) -> list[type[SpectrumWay]]:
    if k is None:
        return [SingularValuesWay, GramEigenvaluesWay]
    if eigenvalues <= SMALL:
        return [SingularValuesWay, GramEigenvaluesWay, LanczosWay]
    return [LanczosWay, SingularValuesWay, GramEigenvaluesWay]
