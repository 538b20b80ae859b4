"""What steers a run, bound to its terms one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...expr import Node, PointSet, Selection
from .adaptive_rule import AdaptiveMethod, AdaptiveRule
from .gradient_conflict import Conflict, Switch


def adaptive_methods(balance: Any, conflict: Any) -> tuple[AdaptiveMethod, ...]:
    """What `tx.core` was given, in the order it acts; raises TypeError for what is none."""
    given = balance if isinstance(balance, (list, tuple)) else [] if balance is None else [balance]
    for each in given:
        if not isinstance(each, AdaptiveMethod) or isinstance(each, Conflict):
            raise TypeError(
                f"tx.core(balance={each!r}): give tx.optim.ntk_balance(), grad_norm(), relobralo(), self_adaptive(), "
                f"residual_attention() or causal(t), or a list of them"
            )
    if conflict is not None and not isinstance(conflict, Conflict):
        raise TypeError(f"tx.core(conflict={conflict!r}): give tx.optim.config() or tx.optim.pcgrad()")
    return (*given, *([] if conflict is None else [conflict]))


@dataclass(frozen=True, eq=False)
class AdaptiveRules:
    """Guides of a problem, and its terms as these have changed them one after the other."""

    guides: tuple[AdaptiveRule, ...]
    terms: Mapping[str, Node]

    @property
    def columns(self) -> tuple[PointSet, ...]:
        """Tags whose points have numbers of their own."""
        return tuple(tag for guide in self.guides for tag in guide.columns)

    @property
    def switch(self) -> tuple[Conflict, int] | None:
        """How conflict is kept out of updates, and by which guide."""
        found = [(guide.how, index) for index, guide in enumerate(self.guides) if isinstance(guide, Switch)]
        return found[0] if found else None


def bound(
    adaptive_methods: Sequence[AdaptiveMethod], terms: Mapping[str, Node], wrt: tuple[Selection, ...]
) -> AdaptiveRules:
    """Each guide is bound to the terms as the last one left them."""
    guides: list[AdaptiveRule] = []
    for steering in adaptive_methods:
        guide = steering.bind(terms, wrt)
        guides.append(guide)
        terms = guide.terms
    names = [part for guide in guides for part in guide.parts]
    doubled = next((part for part in names if names.count(part) > 1), None)
    if doubled is not None:
        raise ValueError(f"tx.core: two of the balancing objects record '{doubled}': give one of them")
    if sum(bool(guide.columns) for guide in guides) > 1:
        raise ValueError("tx.core: two objects weight single points: name all terms in one self_adaptive or the like")
    return AdaptiveRules(tuple(guides), terms)
