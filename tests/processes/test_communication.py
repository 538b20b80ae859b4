"""One all-reduce of P + terms numbers a step, among processes of either transport."""

import json
import re
from pathlib import Path

import pytest
from launching import TRANSPORTS, launched

pytestmark = pytest.mark.processes
SCRIPT = Path(__file__).parent / "communication.py"
TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_all_reduce_a_step(transport, tmp_path):
    # mpi4jax's own log has a line for each call that was made, when it was made.
    options = ["-n", "2", *(["--mpi"] if transport == "mpi" else [])]
    output = launched(options, [SCRIPT, tmp_path], PYTHONPATH=str(TESTS), MPI4JAX_DEBUG="1")
    each = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    if transport == "xla":
        assert [result["kinds"] for result in each] == [{"all-reduce": 1}] * 2
        return
    for rank in range(2):
        calls = calls_between(output, rank)
        numbers = each[rank]["numbers"]
        assert calls[10] == [("Allreduce", numbers)] * 10
        assert calls[30] == [("Allreduce", numbers)] * 30


def calls_between(text, rank):
    """The MPI calls of a rank, with the count of their numbers, while `solve` ran for so many epochs."""
    result, current = {}, None
    for line in text.splitlines():
        mark = re.search(rf"^\[{rank}\].*(begin|end) (\d+)$", line)
        if mark:
            current = int(mark[2]) if mark[1] == "begin" else None
        call = re.search(rf"r{rank} \| \w+ \| MPI_(\w+) with (\d+) items", line)
        if call and current is not None:
            result.setdefault(current, []).append((call[1], int(call[2])))
    return result
