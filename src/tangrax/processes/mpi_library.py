"""The MPI library, where it is wanted and loads."""

import ctypes
import importlib
from typing import Any

INSTALL = "pip install mpich mpi4py && pip install 'tangrax[mpi]' (or load your site's MPI before mpi4py is built)"
REBUILD = "pip install --no-cache-dir --force-reinstall --no-deps mpi4jax"


def library() -> Any:
    """mpi4py's MPI; loading it initialises MPI."""
    unfit = "no MPI library was found that mpi4py can load: load your site's MPI module, or pip install mpich"
    return _loaded("mpi4py.MPI", unfit)


def bridge() -> Any:
    """mpi4jax, which calls MPI from compiled programs."""
    library()
    return _loaded("mpi4jax", f"it was built against another MPI or jax than this one; rebuild it with {REBUILD}")


def _loaded(module: str, unfit: str) -> Any:
    """A module that the transport needs; `unfit` says what it means that one which is installed does not load."""
    name = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"the mpi transport needs {name}, which is not installed: {INSTALL}") from error
    except (ImportError, RuntimeError) as error:
        raise ImportError(f"the mpi transport needs {name}, which cannot be loaded ({error}): {unfit}") from error


def version() -> str:
    """The MPI library's name and version, on one line."""
    return library().Get_library_version().splitlines()[0].strip("\0 ")


def knows_cuda() -> bool | None:
    """Whether the MPI library takes pointers to GPU memory; None if it cannot tell."""
    symbols = ctypes.CDLL(library().__file__)
    try:
        return bool(symbols.MPIX_Query_cuda_support())
    except AttributeError:
        return None


def world() -> Any:
    """The communicator of all ranks."""
    return library().COMM_WORLD
