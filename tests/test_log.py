"""What the library says goes through the logger `tangrax`; Python's `logging` is the oracle."""

import importlib
import io
import logging

import pytest

from tangrax.processes import log

logger = logging.getLogger("tangrax")
child = logging.getLogger("tangrax.checkpoint.writer")


@pytest.fixture(autouse=True)
def level():
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.fixture(params=["tangrax", ""])
def handler(request):
    """A handler of the user's, on the library's logger or on the root."""
    owner, own = logging.getLogger(request.param), logging.StreamHandler(io.StringIO())
    owner.addHandler(own)
    yield own
    owner.removeHandler(own)


def test_lines_go_to_standard_error_where_nothing_is_configured(capsys):
    child.info("going on from epoch 5")
    child.warning("a gap")
    assert capsys.readouterr() == ("", "tangrax: going on from epoch 5\ntangrax: a gap\n")


def test_a_level_silences_all_below_it(capsys):
    logger.setLevel(logging.WARNING)
    child.info("going on")
    child.warning("a gap")
    assert capsys.readouterr().err == "tangrax: a gap\n"
    logger.setLevel(logging.CRITICAL)
    child.warning("a gap")
    assert capsys.readouterr().err == ""


def test_a_handler_of_the_program_takes_the_place_of_ours(handler, capsys):
    child.info("going on")
    assert capsys.readouterr().err == "" and handler.stream.getvalue() == "going on\n"


def test_what_is_configured_before_the_import_stays():
    logger.setLevel(logging.ERROR)
    handlers = list(logger.handlers)
    importlib.reload(log)
    assert logger.level == logging.ERROR and logger.handlers == handlers and len(handlers) == 1
