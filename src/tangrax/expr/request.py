"""What is asked of all rows of a Jacobian at once, beside programs for one shard."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """`what` of the rows of J, a Jacobian or one restricted to a group; of those of `other` too, where two are needed.

    `solver.eval` answers it.
    """

    what: str
    node: Any
    other: Any = None

    def __str__(self) -> str:
        return f"{self.node}.{self.what}({'' if self.other is None else self.other})"
