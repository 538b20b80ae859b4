"""A module imports only from floors below its own: docs/architecture.md, enforced."""

import ast
from pathlib import Path

import pytest

import tangrax

SOURCE = Path(tangrax.__file__).parent
# From the ground up; packages of one floor do not import each other.
FLOORS = [
    {"expr", "processes"},
    {"parallel"},
    {"nn", "domain"},
    {"lower"},
    {"jacobian"},
    {"optim"},
    {"solve"},
    {"run"},
    {"solver", "report", "numpy", "launch", "starter"},
    {"problems"},
    {"cli"},
    {"__init__", "__main__"},
]
HEIGHT = {name: height for height, names in enumerate(FLOORS) for name in names}
MODULES = sorted(SOURCE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Top-level parts of tangrax that a module imports, wherever in its text."""
    inside = ("tangrax", *path.relative_to(SOURCE).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = list(inside[: len(inside) - node.level]) if node.level else []
            target = base + (node.module.split(".") if node.module else [])
            targets = [target] if node.module else [[*target, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        else:
            continue
        found |= {target[1] for target in targets if target[0] == "tangrax" and len(target) > 1}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_come_from_below(path):
    own = package_of(path)
    assert own in HEIGHT, f"{own} has no floor: give it one here and in docs/architecture.md"
    for other in imported(path) - {own}:
        assert HEIGHT[other] < HEIGHT[own], f"{path.name} of {own} imports {other}, which is not below it"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_packages_only_re_export(path):
    for node in ast.parse(path.read_text()).body:
        doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        dunder = isinstance(node, ast.Assign) and all(t.id.startswith("__") for t in node.targets)
        assert doc or dunder or isinstance(node, ast.ImportFrom), ast.unparse(node)
        if isinstance(node, ast.ImportFrom):
            assert all(alias.asname for alias in node.names), f"say what is re-exported: {ast.unparse(node)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_transports_are_named_nowhere_else(path):
    if package_of(path) != "parallel":
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & {"Local", "Xla", "OneDevice", "Devices", "psum", "all_gather", "ppermute"}


def test_modules_stay_small():
    for path in MODULES:
        lines = len(path.read_text().splitlines())
        assert lines <= 420, f"{path.relative_to(SOURCE)} has {lines} lines: one subject, or two?"
