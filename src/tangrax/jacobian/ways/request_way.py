"""The base class of ways to answer a request."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from ..plan import Way
from ..request_context import RequestContext


@dataclass(frozen=True, kw_only=True)
class RequestWay(Way, ABC):
    """A way to answer a request: planned once for its shapes, run for any parameters and points of those shapes."""

    @abstractmethod
    def run(self, context: RequestContext) -> Any:
        """Computes the answer."""
