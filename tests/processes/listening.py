"""Where the sockets of this process listen once all have met, as Linux tells it in /proc: one line."""

import json
import os
import sys
from pathlib import Path

import tangrax as tx

tx.setup(timeout=60)
own = set()
for path in Path("/proc/self/fd").iterdir():
    try:
        own.add(os.readlink(path).removeprefix("socket:[").removesuffix("]"))
    except OSError:  # that of the listing itself
        continue


def rows(name):
    path = Path("/proc/net") / name
    return [line.split() for line in path.read_text().splitlines()[1:]] if path.exists() else []


# 0A is LISTEN; 00010000 among the flags of a socket of the file system says that it takes connections.
ports = [row[1] for name in ("tcp", "tcp6") for row in rows(name) if row[3] == "0A" and row[9] in own]
names = [row[7] for row in rows("unix") if row[3] == "00010000" and row[6] in own and len(row) > 7]
tx.parallel.settings().peers.exchange("all have looked", str)
sys.stdout.write(json.dumps({"ports": ports, "names": names, "files": os.listdir(os.environ["TMPDIR"])}) + "\n")
