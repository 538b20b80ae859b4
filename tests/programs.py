"""Looking into compiled programs: what they communicate and what each device computes."""

import math
import re
from collections import Counter

KINDS = ("all-reduce", "all-gather", "collective-permute", "reduce-scatter", "all-to-all", "collective-broadcast")


def collectives(compiled) -> Counter:
    """How many communications of each kind stand in a compiled program."""
    text = compiled.as_text()
    result = Counter()
    for kind in KINDS:
        count = len(re.findall(rf"= \S+(?:, \S+)* {kind}(?:-start)?\(", text)) or len(
            re.findall(rf" {kind}(?:-start)?\(", text)
        )
        if count:
            result[kind] = count
    return result


def flops(compiled) -> float:
    """Floating-point operations of one device; the body of a loop is counted once."""
    analysis = compiled.cost_analysis()
    return (analysis[0] if isinstance(analysis, list) else analysis)["flops"]


def training_program(solver):
    """The compiled stretch of a solver."""
    loop = solver.training.current_loop()
    state = loop.init(solver.training.parameters)
    return loop.program.lower(*loop.arguments(state, state, 0, 1)).compile()


def eval_program(solver, nodes):
    """The compiled program of `solver.eval(nodes)`."""
    from tangrax import jacobian, lower

    roots = lower.expand(nodes, jacobian.RULES)
    executor, parameters = solver.training.executor, solver.training.device_parameters
    placed = executor.place(lower.Program(tuple(roots)).tags)
    trainables = lower.trainables_of(roots)
    program = executor.program(roots, list(placed.rows), placed.layouts, trainables)
    return program.lower(tuple(placed.rows.values()), [parameters.of(t) for t in trainables]).compile()


def kernel_program(solver, J):
    """The compiled program of the only kernel that was evaluated, that of the rows J."""
    executor = solver.training.executor
    (program,) = (program for key, program in executor.programs.items() if key[0] == "tangent kernel")
    points = executor.place([J.points]).rows.values()
    parameters = [solver.training.device_parameters.of(selection.trainable) for selection in J.op.wrt]
    return program.lower(tuple(points), (parameters, [])).compile()


def gathered_bytes(compiled) -> int:
    """Bytes of the results of all gathers that stand in a compiled program, in double precision."""
    shapes = re.findall(r"= f64\[([\d,]+)\]\S* all-gather(?:-start)?\(", compiled.as_text())
    return sum(8 * math.prod(map(int, shape.split(","))) for shape in shapes)


def reduced_numbers(compiled) -> int:
    """Double-precision numbers of the results of all all-reduces that stand in a compiled program."""
    result = re.findall(r"= (.+?) all-reduce(?:-start)?\(", compiled.as_text())
    shapes = [shape for text in result for shape in re.findall(r"f64\[([\d,]*)\]", text)]
    return sum(math.prod(map(int, filter(None, shape.split(",")))) for shape in shapes)


def shifted_bytes(compiled, trips: int, tile: tuple[int, int]) -> tuple[float, float, float]:
    """What all devices send round the ring: factors, tiles of K, and what gathering the factors would send instead.

    A shift inside a loop counts `trips` times. Arrays of at most the size of a `tile`, two-dimensional with its rows
    or columns and in double precision, are tiles.
    """
    text = compiled.as_text()
    bodies = set(re.findall(r"body=%?([\w.\-]+)", text))
    factors = tiles = whole = 0.0
    current = ""
    for line in text.splitlines():
        header = re.match(r"^(?:ENTRY )?%?([\w.\-]+) \(", line)
        if header:
            current = header.group(1)
        result = re.search(r" = (\w+)\[([\d,]*)\]\S* collective-permute(?:-start)?\(", line)
        if not result:
            continue
        pairs = len(re.findall(r"\{\d+,\d+\}", line.split("source_target_pairs=")[1].split("}}")[0] + "}"))
        shape = [int(n) for n in result.group(2).split(",") if n]
        size = int(re.sub(r"\D", "", result.group(1))) // 8
        for length in shape:
            size *= length
        if len(shape) == 2 and tile[0] in shape and max(shape) <= max(tile) and "f64" in result.group(1):
            tiles += pairs * size
            continue
        inside = current in bodies
        factors += pairs * size * (trips if inside else 1)
        # Once round a loop, every device sends all that it holds.
        whole += size if inside else 0
    devices = 8
    return factors, tiles, whole * devices * (devices - 1)
