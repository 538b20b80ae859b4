"""Writes a program and a batch file to a directory."""

import os
import sys
from importlib.resources import files
from pathlib import Path

PROGRAM, BATCH = "train.py", "train.sbatch"


def write_starter(directory: Path, *, cpu: bool = False) -> list[Path]:
    """Write both, and return their paths. Raises FileExistsError, and writes nothing, where one of them is there."""
    paths = [directory / PROGRAM, directory / BATCH]
    if directory.exists() and not directory.is_dir():
        raise FileExistsError(f"{directory} is a file: give a directory. Nothing was written")
    for path in paths:
        if os.path.lexists(path):
            raise FileExistsError(f"{path} is there: give another directory. Nothing was written")
    directory.mkdir(parents=True, exist_ok=True)
    texts = [(files("tangrax.starter") / name).read_text() for name in ("program.txt", BATCH)]
    for path, text in zip(paths, (texts[0], batch_file(texts[1], cpu)), strict=True):
        with path.open("x") as file:  # what came there since then stays
            file.write(text)
    return paths


def batch_file(text: str, cpu: bool) -> str:
    """Return the batch file of the project, for the program here and the environment of this Python."""
    usage = text.index("#   sbatch slurm/"), text.index("# Submit it")
    lines = [
        f"#   sbatch {BATCH}                      {PROGRAM}",
        f"#   sbatch {BATCH} --epochs 20000       the same with options",
        "#   sbatch --nodes=4 --time=08:00:00 …    options of sbatch win over the lines below",
    ]
    text = text[: usage[0]] + "\n".join(lines) + "\n#\n" + text[usage[1] :]
    changes = {
        "from the clone. docs/slurm.md walks": f"from the directory of {PROGRAM}. docs/slurm.md of Tangrax walks",
        "$SLURM_SUBMIT_DIR/.venv": sys.prefix,
        "    # A directory of its own for each job; --out among the options wins.\n": "",
        'scripts/train.py --out "runs/$SLURM_JOB_ID"': PROGRAM,
    }
    if cpu:
        gpus = text.index("# As many tasks a node"), text.index("#SBATCH --ntasks-per-node=4")
        text = text[: gpus[0]] + text[gpus[1] :]
        changes |= {
            "Train on the GPUs of several nodes: one task a GPU": "Train on the CPUs of several nodes: one task a node",
            "--ntasks-per-node=4": "--ntasks-per-node=1",
            "# Fail rather than train on CPUs for a day because a driver was not found.\n": "",
            "JAX_PLATFORMS:-cuda": "JAX_PLATFORMS:-cpu",
            "partition=gpu": "partition=cpu",
            "module load python cuda": "module load python",
            "exec --nv": "exec",
            "#export NCCL_SOCKET_IFNAME=ib0\n#export NCCL_DEBUG=INFO\n": "",
        }
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"the batch file that this is made from has no {old!r}")
        text = text.replace(old, new)
    return text
