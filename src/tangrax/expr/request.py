"""What is asked of all rows of a Jacobian at once, beside programs for one shard."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """`what` of the rows of J, a Jacobian or one restricted to a group: `solver.eval` answers it with an object."""

    what: str
    node: Any

    def __str__(self) -> str:
        return f"{self.node}.{self.what}()"
