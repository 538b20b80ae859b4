"""Lock for methods that change a solver: one at a time."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


def exclusive(method: Method) -> Method:
    """Decorate a method of an object with a lock `_changing`: RuntimeError while another such method is running."""

    @functools.wraps(method)
    def alone(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._changing.acquire(blocking=False):
            raise RuntimeError(
                f"{method.__name__}: this solver is training already, in another thread or in the call that a listener "
                f"is told of: wait until that has ended, or make a solver for each thread. Nothing was changed"
            )
        try:
            return method(self, *args, **kwargs)
        finally:
            self._changing.release()

    return cast(Method, alone)
