"""Draws docs/images/floors.png from the floors of tests/test_floors.py: python docs/floors.py"""

import ast
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
HIDDEN = {"__init__", "__main__", "refused"}
SAYS = {
    "processes": "how processes meet, watch each other, stop",
    "expr": "the language: fields, terms, Jacobians",
    "parallel": "collectives, transports, shards",
    "domain": "shapes, samplers, tags · networks, masks",
    "lower": "expression → one point → one shard",
    "jacobian": "rows, kernels, spectra, plans",
    "optim": "second-order steps, weights, sampling",
    "solve": "compiled stretches, host loop, history",
    "checkpoint": "states on disk",
    "export": "files for others · progress, profiles, sinks",
    "analysis": "record, advice, data of reports",
    "solver": "tx.core, pictures, launching",
    "problems": "equations with references",
    "cli": "the command tangrax",
}


def floors() -> list[list[str]]:
    """Packages of each floor, from the ground up."""
    tree = ast.parse((ROOT / "tests" / "test_floors.py").read_text(encoding="utf-8"))
    (value,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "FLOORS"]
    return [names for floor in ast.literal_eval(value) if (names := sorted(set(floor) - HIDDEN))]


def main() -> None:
    levels = floors()
    figure, axes = plt.subplots(figsize=(8, 0.52 * len(levels)), layout="constrained")
    for height, names in enumerate(levels):
        width = 6.0 / len(names)
        for index, name in enumerate(names):
            box = plt.Rectangle((index * width, height), width - 0.06, 0.8, facecolor="#e8eef7", edgecolor="#3b5b8c")
            axes.add_patch(box)
            axes.text(
                index * width + width / 2, height + 0.4, name, ha="center", va="center", family="monospace", size=9
            )
        says = next((SAYS[name] for name in names if name in SAYS), "")
        axes.text(6.2, height + 0.4, says, va="center", size=9, color="#444444")
    axes.set(xlim=(-0.1, 11), ylim=(-0.1, len(levels)))
    axes.axis("off")
    figure.savefig(ROOT / "docs" / "images" / "floors.png", dpi=120)


if __name__ == "__main__":
    main()
