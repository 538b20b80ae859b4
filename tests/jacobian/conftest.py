"""Programs of kernels take long to compile: on 1 and 8 devices they are tested with the slow tests."""

import pytest

SLOW = pytest.mark.slow


@pytest.fixture(params=[pytest.param(1, marks=SLOW), 3, pytest.param(8, marks=SLOW)], ids=lambda k: f"{k}dev")
def devices(request) -> int:
    """How many devices share the points."""
    return request.param
