"""Looking into compiled programs: what they communicate and what each device computes."""

import re
from collections import Counter

KINDS = ("all-reduce", "all-gather", "collective-permute", "reduce-scatter", "all-to-all", "collective-broadcast")


def collectives(compiled) -> Counter:
    """How many communications of each kind stand in a compiled program."""
    text = compiled.as_text()
    found = Counter()
    for kind in KINDS:
        count = len(re.findall(rf"= \S+(?:, \S+)* {kind}(?:-start)?\(", text)) or len(
            re.findall(rf" {kind}(?:-start)?\(", text)
        )
        if count:
            found[kind] = count
    return found


def flops(compiled) -> float:
    """Floating-point operations of one device; the body of a loop is counted once."""
    analysis = compiled.cost_analysis()
    return (analysis[0] if isinstance(analysis, list) else analysis)["flops"]


def training_program(solver):
    """The compiled stretch of a solver."""
    loop = solver._make_loop()
    state = loop.init(solver._parameters)
    return loop._jitted().lower(*loop.arguments(state, state, 0, 1)).compile()


def eval_program(solver, nodes):
    """The compiled program of `solver.eval(nodes)`."""
    from tangrax import jacobian, lower

    roots = lower.expand(nodes, jacobian.RULES)
    executor = solver._executor
    placed = executor.place(lower.Program(tuple(roots)).tags)
    trainables = lower.trainables_of(roots)
    program = executor.program(roots, list(placed.rows), placed.layouts, trainables)
    return program.lower(tuple(placed.rows.values()), [solver._parameters_of(t) for t in trainables]).compile()
