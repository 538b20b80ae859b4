"""Shards of points: how they are laid out, where they live, how they talk."""

from .collectives import Collectives as Collectives, Local as Local, Xla as Xla
from .layout import Layout as Layout
from .setup import Settings as Settings, run_dtype as run_dtype, settings as settings, setup as setup
from .sharded import ShardedRows as ShardedRows, TransposedRows as TransposedRows
from .transport import Transport as Transport, make_transport as make_transport
