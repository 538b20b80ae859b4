"""`tx.nn`: networks and trainable numbers as handles; a call builds a field."""

from .mlp import MLP as MLP
from .mlp import Dense as Dense
from .mlp import from_recipe as from_recipe
from .mlp import mlp as mlp
from .network import Network as Network
from .network import check_optimizer as check_optimizer
from .network import wrap as wrap
from .parameter import Parameter as Parameter
from .parameter import parameter as parameter
