"""Computes references and keeps them in the package: `python -m references pinnacle/ks …`."""

import importlib
import sys
import time

from references import MODULES
from references.reference import keep


def main(names: list[str]) -> None:
    """Compute the references of these names, one after the other."""
    unknown = [name for name in names if name not in MODULES]
    if unknown or not names:
        sys.exit(f"{', '.join(unknown) or 'name what to compute'}: there are {', '.join(MODULES)}")
    for name in names:
        began = time.perf_counter()
        reference = importlib.import_module(f"references.{MODULES[name]}").REFERENCES[name]()
        path = keep(name, reference)
        size = path.stat().st_size / 1000
        print(f"{name}: error {reference.error:.1e}, {len(reference.at)} points, {size:.0f} kB, ", end="")
        print(f"{time.perf_counter() - began:.0f} s, {path}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
