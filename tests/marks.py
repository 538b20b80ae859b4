"""Marks for tables of cases."""

import pytest


def slow_but(cases, *fast):
    """The cases, all but those named among the slow tests: what is alike in all of them is seen on these."""
    assert set(fast) <= set(cases), f"no such case: {set(fast) - set(cases)}"
    mark = {case: () if case in fast else pytest.mark.slow for case in cases}
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=mark[case]) for case in cases]
