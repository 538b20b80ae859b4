"""Shards of points: how they are laid out, where they live, how they talk."""

from .collectives import Collectives as Collectives
from .collectives import Local as Local
from .collectives import Xla as Xla
from .layout import Layout as Layout
from .setup import Settings as Settings
from .setup import run_dtype as run_dtype
from .setup import settings as settings
from .setup import setup as setup
from .sharded import ShardedRows as ShardedRows
from .sharded import TransposedRows as TransposedRows
from .transport import Transport as Transport
from .transport import make_transport as make_transport
