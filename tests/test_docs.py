"""Every Python block in the documents runs, page by page, and every script solves what it says it solves."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import matplotlib
import pytest
from launching import own_flags

import tangrax as tx
from tangrax import parallel

matplotlib.use("Agg")
ROOT = Path(__file__).parent.parent
# Functions that floors above use, and users do not.
INTERNAL = {
    *(
        "by_optimizer",
        "check_optimizer",
        "evaluate",
        "from_recipe",
        "joint_optimizer",
        "lift",
        "lift_reduction",
        "lift_sequence",
        "plan_of",
    ),
    *("refuse_empty_groups", "refuse_oversized", "squares_of", "adaptive_methods", "compile_rules", "watched"),
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks_of(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


# Pages that a newcomer reads first run with the short tests, the others in a stage of their own.
FIRST = ("README.md", "docs/start.md")
EACH = [
    pytest.param(page, id=name_of(page), marks=() if name_of(page) in FIRST else pytest.mark.pages)
    for page in PAGES
    if blocks_of(page)
]


@pytest.mark.parametrize("page", EACH)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Pages call tx.setup, whose choices hold for the process.
    monkeypatch.setattr(sys.modules["tangrax.parallel.setup"], "current", parallel.Settings())
    space = {}
    for block in blocks_of(page):
        exec(compile(block, page.name, "exec"), space)


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_promises_of_the_page_on_security_are_held():
    """Each file of tests that it names, and each test; those that follow in a cell are of the file before."""
    page = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)?(?:::(test_\w+))?`", page)
    path = ""
    for file, test in ((file, test) for file, test in named if file or test):
        path = file or path
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{path} has no {test}"
    assert len(named) > 20


@pytest.mark.parametrize("name", ["domain", "jacobian", "nn", "np", "optim", "problems", "sinks"])
def test_reference_has_what_there_is(name):
    """All functions of a module, and no object that is not where the page says."""
    page = (ROOT / "docs" / "reference" / f"{name}.md").read_text()
    objects = re.findall(r"^::: (\S+)\.(\w+)$", page, re.MULTILINE)
    for module, member in objects:
        assert hasattr(importlib.import_module(module), member), f"{module} has no {member}"
    in_prose = {word for code in re.findall(r"`([^`\n]+)`", page) for word in re.findall(r"\w+", code)}
    functions = {each for each, value in vars(getattr(tx, name)).items() if isinstance(value, FunctionType)}
    assert functions - in_prose - {member for _, member in objects} - INTERNAL == set()


def public_functions(page):
    """Functions on a page of the reference, and methods of classes there, those of `members` where it names some."""
    for path, options in re.findall(r"^::: tangrax\.(\S+)\n((?:    .*\n)*)", page.read_text(), re.MULTILINE):
        *module, name = path.split(".")
        members = re.search(r"members: \[(.*?)\]", options, re.DOTALL)
        file = Path(tx.__file__).parent.joinpath(*module)
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        for node in ast.parse(file.read_text()).body:
            if getattr(node, "name", None) != name:
                continue
            for function in node.body if isinstance(node, ast.ClassDef) else [node]:
                public = not function.name.startswith("_") if isinstance(function, ast.FunctionDef) else False
                if public and (node is function or not members or function.name in members[1]):
                    yield f"{path}.{function.name}", function


def test_arguments_of_public_functions_are_described():
    """Each by name in the section `Args`, in the order of the signature, and no other."""
    wrong, count = [], 0
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        for name, function in public_functions(page):
            arguments = function.args
            words = [each.arg for each in (*arguments.posonlyargs, *arguments.args) if each.arg not in ("self", "cls")]
            words += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
            words += [each.arg for each in arguments.kwonlyargs]
            words += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
            if not words or any(ast.unparse(each) == "overload" for each in function.decorator_list):
                continue
            _, _, section = (ast.get_docstring(function) or "").partition("Args:\n")
            described = re.findall(r"^    (\*{0,2}\w+): ", section.partition("\n\n")[0], re.MULTILINE)
            count += 1
            wrong += [] if described == words else [f"{name}: {words} in the signature, {described} in the text"]
    assert not wrong and count > 100, "\n".join(wrong)


# Whether they run, not how far they get or how fast: few epochs and points, compiled as the tests are.
@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "heat --epochs 50",
        "inverse --epochs 4",
        "two_networks --adam 20 --lbfgs 4",
        "groups --epochs 50",
        "round_off --epochs 4 --points 200",
        "shock --epochs 100",
        "batches --points 2000 --batch 300 --seconds 2",
        "balance --epochs 50",
        "plate --epochs 4",
        "stall --epochs 100",
        "cylinder --epochs 3 --points 200",
        "l_shape --epochs 3 --points 200",
        "part --epochs 3 --points 200",
        "export --epochs 50",
        "marching --end 1 --slabs 2 --epochs 4 --points 40",
        "gallery --epochs 4 --names poisson-1d poisson-l-shape",
    ],
    ids=lambda script: script.split()[0],
)
def test_script(script, tmp_path):
    name, *arguments = script.split()
    # The gallery computes more than it compiles.
    env = {**os.environ, "XLA_FLAGS": "" if name == "gallery" else own_flags()}
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), "--devices", "3", "--emulate", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
