"""What steers a run, bound to its terms one after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..expr import Node, Selection
from .conflict import Conflict
from .guide import Guide, Steering


def steerings(balance: Any, conflict: Any) -> tuple[Steering, ...]:
    """What `tx.core` was given, in the order it acts; raises TypeError for what is none."""
    given = balance if isinstance(balance, (list, tuple)) else [] if balance is None else [balance]
    for each in given:
        if not isinstance(each, Steering) or isinstance(each, Conflict):
            raise TypeError(
                f"tx.core(balance={each!r}): give tx.optim.ntk_balance(), grad_norm(), relobralo(), self_adaptive(), "
                f"residual_attention() or causal(t), or a list of them"
            )
    if conflict is not None and not isinstance(conflict, Conflict):
        raise TypeError(f"tx.core(conflict={conflict!r}): give tx.optim.config() or tx.optim.pcgrad()")
    return (*given, *([] if conflict is None else [conflict]))


def bound(
    steerings: Sequence[Steering], terms: Mapping[str, Node], wrt: tuple[Selection, ...]
) -> tuple[tuple[Guide, ...], Mapping[str, Node]]:
    """Guides one after the other, each of the terms as the last one left them; and these terms."""
    guides = []
    for steering in steerings:
        guide = steering.bind(terms, wrt)
        guides.append(guide)
        terms = guide.terms
    names = [part for guide in guides for part in guide.parts]
    doubled = next((part for part in names if names.count(part) > 1), None)
    if doubled is not None:
        raise ValueError(f"tx.core: two of the balancing objects record '{doubled}': give one of them")
    columned = [guide for guide in guides if guide.columns]
    if len(columned) > 1:
        raise ValueError("tx.core: one self_adaptive at most: name all of its terms in one")
    return tuple(guides), terms
