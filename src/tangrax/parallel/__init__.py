"""Shards of points: how they are laid out, where they live, how they talk."""

from . import doctor as doctor
from .base import Transport as Transport, digest as digest
from .collectives import Collectives as Collectives, Local as Local, Xla as Xla
from .distributed_svd import (
    decomposed as decomposed,
    singular_values as singular_values,
    singular_values_bytes as singular_values_bytes,
    triangle as triangle,
    undefined as undefined,
)
from .layout import Layout as Layout
from .mpi_transport import Mpi as Mpi
from .operation import ProcessMismatch as ProcessMismatch, compare as compare
from .setup import (
    Settings as Settings,
    precision_of as precision_of,
    run_dtype as run_dtype,
    settings as settings,
    setup as setup,
)
from .sharded import ShardedRows as ShardedRows, TransposedRows as TransposedRows
from .transport import make_transport as make_transport
