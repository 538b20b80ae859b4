"""Training: compiled stretches, the host loop, history, callbacks."""

from .batches import Batches as Batches
from .build import build_loop as build_loop
from .callbacks import Listener as Listener, Run as Run, Stretch as Stretch
from .checkpointer import Checkpointer as Checkpointer, NoCheckpoints as NoCheckpoints
from .device_parameters import DeviceParameters as DeviceParameters, explained as explained
from .history import History as History
from .loop import Loop as Loop, Timing as Timing
from .loss_terms import TOTAL as TOTAL, NonFiniteLoss as NonFiniteLoss, Terms as Terms, read_terms as read_terms
from .resampling import Resampler as Resampler
from .rollback import STEP_SCALE as STEP_SCALE
from .training_lock import exclusive as exclusive
from .training_problem import State as State
