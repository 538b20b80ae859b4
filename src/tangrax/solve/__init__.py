"""Training: compiled stretches, optimizers, what is recorded and who is told."""

from .batches import Batches as Batches
from .build import build_loop as build_loop
from .first_order import (
    FirstOrder as FirstOrder,
    Parameters as Parameters,
    refuse_line_search as refuse_line_search,
)
from .history import History as History
from .listener import Listener as Listener, Run as Run, Stretch as Stretch
from .loop import Loop as Loop, Timing as Timing
from .resampling import Resampler as Resampler
from .stretch import State as State
from .terms import (
    NonFiniteLoss as NonFiniteLoss,
    Terms as Terms,
    describe_trouble as describe_trouble,
    read_terms as read_terms,
)
