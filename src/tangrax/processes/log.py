"""The logger `tangrax`: plain lines on standard error, unless the program has configured handlers of its own."""

import logging
import sys
from typing import Any, TextIO

_logger = logging.getLogger("tangrax")


class _PlainLines(logging.StreamHandler[TextIO]):
    """`tangrax: message`, on the standard error of now, which notebooks and tests replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("tangrax: %(message)s"))

    @property
    def stream(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sys.stderr

    def filter(self, record: logging.LogRecord) -> bool:
        own = [handler for handler in (*_logger.handlers, *logging.getLogger().handlers) if handler is not self]
        return not own and bool(super().filter(record))


if not _logger.handlers:
    _logger.addHandler(_PlainLines())
if _logger.level == logging.NOTSET:
    _logger.setLevel(logging.INFO)
