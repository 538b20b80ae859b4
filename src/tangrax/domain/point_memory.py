"""Memory that points take, estimated before any is made."""

import math
import os
from pathlib import Path

COPIES = 3  # of coordinates that are in memory together: as they are, and what they are made of
CGROUP = Path("/sys/fs/cgroup/memory.max")


def host_memory() -> int:
    """Bytes of this machine, or of the container that limits this process."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = CGROUP.read_text().strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdecimal() else whole


def refuse_beyond(request: str, where: str, count: float, columns: int) -> None:
    """Raise where so many points, of so many numbers each, cannot be made in the host's memory.

    `request` is the argument that asks for them, `where` what they lie on.
    """
    needed, memory = COPIES * 8.0 * columns * count, host_memory()
    if needed > memory:
        many = f"{count:,.0f}" if count < 1e15 else f"{count:.1e}" if math.isfinite(count) else "countless"
        raise ValueError(
            f"{request} makes {many} points of {where}: {needed / 2**30:,.1f} GiB while they are made, and this "
            f"machine has {memory / 2**30:.1f} GiB. Give a larger mesh_size, or fewer points by n="
        )


def grid_points(lower: tuple[float, ...], upper: tuple[float, ...], mesh_size: float) -> float:
    """Nodes of a grid in a box, as a float: there may be more than an integer of the machine counts."""
    return math.prod(max(1.0, (b - a) / mesh_size) + 1 for a, b in zip(lower, upper, strict=True))
