"""Second-order steps are for double precision."""

import sys

import pytest

import tangrax as tx


@pytest.fixture(autouse=True)
def double(monkeypatch):
    module = sys.modules["tangrax.parallel.setup"]
    monkeypatch.setattr(module, "current", module.current)  # for tests elsewhere: as it was
    tx.setup(dtype="float64")
