"""A field on a group of points, taken apart and put together again."""

from typing import Any

from .ops import Restrict


def split(field: Any) -> tuple[Any, ...]:
    """(field,) or, of `field[group]`, (field, group)."""
    return field.args if isinstance(field.op, Restrict) else (field,)


def within(field: Any, *group: Any) -> Any:
    """`field[group]`, or the field where there is no group: what `split` took apart."""
    return field[group[0]] if group else field
