"""A hook of mkdocs: programs that lie beside the documentation become pages of the site.

Pages link to `../scripts/demo.py` and `../slurm`, which is right where they are read in the repository, but such files
are not part of a site. Here each gets a page that shows it, and each directory one that lists what it holds.
"""

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

# Directories that are published, by what their files end in, with the language that colours them.
PUBLISHED = {"scripts": (".py", "python"), "slurm": (".sbatch", "bash"), "benchmarks": (".py", "python")}
LINK = re.compile(r"(\]\()(\.\./[^)#\s]+)((?:#[^)\s]*)?\))")


def on_files(files, config):
    root = Path(config.config_file_path).parent
    for directory, (suffix, language) in PUBLISHED.items():
        programs = sorted(path for path in (root / directory).iterdir() if path.suffix == suffix)
        files.append(File.generated(config, f"source/{directory}.md", content=listing(directory, programs)))
        for program in programs:
            name = f"{directory}/{program.name}"
            files.append(File.generated(config, f"source/{name}.md", content=page_of(name, program, language)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links out of the documentation lead to the pages made above."""
    directory = posixpath.dirname(page.file.src_uri)

    def replaced(match):
        target = posixpath.normpath(posixpath.join(directory, match[2]))
        source = f"source/{target.removeprefix('../')}.md"
        if not target.startswith("../") or files.get_file_from_path(source) is None:
            return match[0]  # mkdocs warns of it
        return f"{match[1]}{posixpath.relpath(source, directory or '.')}{match[3]}"

    return LINK.sub(replaced, markdown)


def listing(directory, programs):
    rows = [f"| [`{path.name}`]({directory}/{path.name}.md) | {summary(path)} |" for path in programs]
    return "\n".join([f"# {directory}", "", "| file | what it does |", "|---|---|", *rows, ""])


def page_of(name, path, language):
    # Left out of the search: words of programs would hide those of pages.
    return f"---\nsearch:\n  exclude: true\n---\n\n# {name}\n\n~~~~{language}\n{path.read_text()}~~~~\n"


def summary(path):
    """The first paragraph of a program's docstring, or of the comment at its head."""
    text = path.read_text()
    if path.suffix == ".py":
        text_at_head = ast.get_docstring(ast.parse(text)) or ""
    else:
        lines = [line for line in text.splitlines() if not line.startswith(("#!", "#SBATCH"))]
        text_at_head = re.match(r"((?:# ?.*\n)*)", "\n".join(lines) + "\n")[1].replace("# ", "").replace("#", "")
    return text_at_head.strip().split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
