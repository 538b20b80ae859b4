"""Marks for tables of cases."""

import pytest


def with_slow(cases, *slow):
    """The cases, those named among the slow tests."""
    assert set(slow) <= set(cases), f"no such case: {set(slow) - set(cases)}"
    mark = {case: pytest.mark.slow if case in slow else () for case in cases}
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=mark[case]) for case in cases]


def slow_but(cases, *fast):
    """The cases, all but those named among the slow tests: what is alike in all of them is seen on these."""
    assert set(fast) <= set(cases), f"no such case: {set(fast) - set(cases)}"
    return with_slow(cases, *(case for case in cases if case not in fast))
