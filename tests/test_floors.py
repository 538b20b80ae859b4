"""A module imports only from floors below its own: docs/architecture.md, enforced."""

import ast
import re
from pathlib import Path

import tangrax

SOURCE = Path(tangrax.__file__).parent
# From the ground up; packages of one floor do not import each other.
FLOORS = [
    {"processes"},
    {"expr"},
    {"parallel"},
    {"nn", "domain"},
    {"lower"},
    {"jacobian"},
    {"optim"},
    {"solve"},
    {"checkpoint"},
    {"monitor", "export"},
    {"analysis"},
    {"training"},
    {"solver", "report", "numpy", "launch", "starter"},
    {"problems"},
    {"refused"},
    {"cli"},
    {"__init__", "__main__"},
]
ROOT = Path(__file__).parents[1]
# Documented by Python for others to call, in spite of the underscore: namedtuples, `sys._getframe`, `os._exit`.
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_getframe", "_exit"}
# Of jNO, which has no public way to its points and networks on devices.
OF_A_PEER = {("benchmarks/peer_jno.py", "_shard_data"), ("benchmarks/peer_jno_gram.py", "_unwrapped_models")}
HEIGHT = {name: height for height, names in enumerate(FLOORS) for name in names}
MODULES = sorted(SOURCE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Top-level parts of tangrax that a module imports, wherever in its text."""
    inside = ("tangrax", *path.relative_to(SOURCE).with_suffix("").parts)
    result = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = list(inside[: len(inside) - node.level]) if node.level else []
            target = base + (node.module.split(".") if node.module else [])
            targets = [target] if node.module else [[*target, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        else:
            continue
        result |= {target[1] for target in targets if target[0] == "tangrax" and len(target) > 1}
    return result


def test_every_package_has_a_floor():
    homeless = {package_of(path) for path in MODULES} - set(HEIGHT)
    assert not homeless, f"no floor: {sorted(homeless)}; give them one here and in docs/architecture.md"


def test_imports_come_from_below():
    upward = [
        f"{path.relative_to(SOURCE)} imports {other}"
        for path in MODULES
        for other in imported(path) - {package_of(path)}
        if HEIGHT[other] >= HEIGHT[package_of(path)]
    ]
    assert not upward, "not below: " + "; ".join(upward)


def test_packages_only_re_export():
    wrong = [
        f"{path.relative_to(SOURCE)}: {ast.unparse(node)}"
        for path in MODULES
        if path.name == "__init__.py"
        for node in ast.parse(path.read_text()).body
        if not is_re_export(node)
    ]
    assert not wrong, "an __init__.py says `from .module import name as name` and nothing else: " + "; ".join(wrong)


def is_re_export(node: ast.stmt) -> bool:
    """`from .module import name as name`; or a docstring, or a name such as __version__."""
    if isinstance(node, ast.ImportFrom):
        return all(alias.asname for alias in node.names)
    doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return doc or (isinstance(node, ast.Assign) and all(t.id.startswith("__") for t in node.targets))


def test_transports_are_named_nowhere_else():
    verbs = {"Local", "Xla", "OneDevice", "Devices", "psum", "all_gather", "ppermute"}
    result = [
        f"{path.relative_to(SOURCE)} names {node.id}"
        for path in MODULES
        if package_of(path) != "parallel"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id in verbs
    ]
    assert not result, "outside of parallel: " + "; ".join(result)


def test_output_goes_through_logging():
    """But for the command line, and the launcher that passes on what its processes print."""
    printing = {
        str(path.relative_to(SOURCE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == {"cli.py", "launch.py"}


def is_private(name: str) -> bool:
    """One leading underscore; `_repr_html_` and `__len__` are protocols."""
    return name.startswith("_") and not name.endswith("_") and name not in DOCUMENTED


def reached_into(path: Path) -> list[str]:
    """Private names of other objects and modules that a file uses: attributes, imports, and strings for `setattr`."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and of_itself(node.value)}
    names = []
    for node in nodes:
        if isinstance(node, ast.Attribute) and not of_itself(node.value):
            names.append(node.attr)
        elif isinstance(node, ast.ImportFrom):
            names += [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):  # getattr, monkeypatch.setattr, …
            names += [
                part for each in node.args if isinstance(each, ast.Constant) for part in str(each.value).split(".")
            ]
    return [name for name in names if is_private(name) and name not in own]


def of_itself(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def test_private_names_stay_in_their_module():
    paths = [path for name in ("src", "tests", "benchmarks", "scripts", "docs") for path in (ROOT / name).rglob("*.py")]
    reached = {(str(path.relative_to(ROOT)), name) for path in paths for name in reached_into(path)}
    assert reached - OF_A_PEER == set()
    assert reached >= OF_A_PEER and len(paths) > 300


def test_modules_stay_small():
    lines = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in MODULES}
    long = {name: count for name, count in lines.items() if count > 400}
    assert not long, f"one subject, or two? {long}"


def test_files_that_the_architecture_names_exist():
    page = ROOT / "docs" / "architecture.md"
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text(encoding="utf-8")))
    absent = {name for name in named if not (SOURCE / name).exists() and not (page.parents[1] / name).exists()}
    assert len(named) > 30 and not absent, f"not in src/tangrax: {sorted(absent)}"


def test_no_two_modules_have_one_name():
    names = [path.name for path in MODULES if not path.name.startswith("__")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
