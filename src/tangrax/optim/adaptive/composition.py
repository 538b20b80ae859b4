"""The adaptive methods of a run, compiled one after the other for the terms of its problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...expr import Node, PointSet, Selection
from .adaptive_rule import AdaptiveMethod, AdaptiveRule
from .gradient_conflict import Conflict, ConflictRule


def adaptive_methods(balance: Any, conflict: Any) -> tuple[AdaptiveMethod, ...]:
    """The methods that `tx.core` was given, in the order they act; raises TypeError for anything else."""
    methods = balance if isinstance(balance, (list, tuple)) else [] if balance is None else [balance]
    for method in methods:
        if not isinstance(method, AdaptiveMethod) or isinstance(method, Conflict):
            raise TypeError(
                f"tx.core(balance={method!r}): give tx.optim.ntk_balance(), grad_norm(), relobralo(), "
                f"conditions_first(), self_adaptive(), residual_attention() or causal(t), or a list of them"
            )
    if conflict is not None and not isinstance(conflict, Conflict):
        raise TypeError(f"tx.core(conflict={conflict!r}): give tx.optim.config() or tx.optim.pcgrad()")
    return (*methods, *([] if conflict is None else [conflict]))


@dataclass(frozen=True, eq=False)
class AdaptiveRules:
    """The rules of a problem, and its terms as these have changed them one after the other."""

    rules: tuple[AdaptiveRule, ...]
    terms: Mapping[str, Node]

    @property
    def columns(self) -> tuple[PointSet, ...]:
        """Tags whose points have weights of their own."""
        return tuple(tag for rule in self.rules for tag in rule.columns)

    @property
    def conflict(self) -> tuple[Conflict, int] | None:
        """The method of conflict-free updates, and the index of its rule."""
        conflicts = [(rule.method, index) for index, rule in enumerate(self.rules) if isinstance(rule, ConflictRule)]
        return conflicts[0] if conflicts else None


def compile_rules(
    methods: Sequence[AdaptiveMethod], terms: Mapping[str, Node], wrt: tuple[Selection, ...]
) -> AdaptiveRules:
    """The rules of some methods, each compiled for the terms as the last one left them.

    Raises ValueError where two methods record under one name, or two weight single points.
    """
    rules: list[AdaptiveRule] = []
    for method in methods:
        rule = method.compile(terms, wrt)
        rules.append(rule)
        terms = rule.terms
    names = [name for rule in rules for name in rule.names]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise ValueError(f"tx.core: two of the balancing objects record '{doubled}': give one of them")
    if sum(bool(rule.columns) for rule in rules) > 1:
        raise ValueError("tx.core: two objects weight single points: name all terms in one self_adaptive or the like")
    return AdaptiveRules(tuple(rules), terms)
