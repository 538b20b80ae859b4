"""Training: compiled stretches, optimizers, what is recorded and who is told."""

from .first_order import FirstOrder as FirstOrder
from .first_order import Parameters as Parameters
from .history import History as History
from .listener import Listener as Listener
from .listener import Run as Run
from .listener import Stretch as Stretch
from .loop import Loop as Loop
from .loop import NonFiniteLoss as NonFiniteLoss
from .loop import Timing as Timing
from .stretch import Problem as Problem
from .stretch import State as State
from .stretch import Watched as Watched
from .terms import Terms as Terms
from .terms import read_terms as read_terms
