"""The MPI library, where it is wanted and loads."""

import ctypes
import importlib
from typing import Any

INSTALL = "pip install mpich mpi4py && pip install 'tangrax[mpi]' (or load your site's MPI before mpi4py is built)"
REBUILD = "pip install --no-cache-dir --force-reinstall --no-deps mpi4jax"


def library() -> Any:
    """mpi4py's MPI; loading it initialises MPI."""
    try:
        return importlib.import_module("mpi4py.MPI")
    except ModuleNotFoundError as error:
        raise ImportError(f"the mpi transport needs mpi4py, which is not installed: {INSTALL}") from error
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"the mpi transport needs an MPI library that mpi4py can load, and none was found ({error}): load your "
            f"site's MPI module, or pip install mpich"
        ) from error


def bridge() -> Any:
    """mpi4jax, which calls MPI from compiled programs."""
    library()
    try:
        return importlib.import_module("mpi4jax")
    except ModuleNotFoundError as error:
        raise ImportError(f"the mpi transport needs mpi4jax, which is not installed: {INSTALL}") from error
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"mpi4jax cannot be loaded ({error}): it was built against another MPI or jax than this one; rebuild it "
            f"with {REBUILD}"
        ) from error


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
