"""Second-order steps are for double precision."""

import pytest

import tangrax as tx


@pytest.fixture(autouse=True)
def double():
    tx.setup(dtype="float64")
