"""`tx.nn`: networks and trainable numbers as handles; a call builds a field."""

from .mlp import MLP as MLP, Dense as Dense, from_recipe as from_recipe, mlp as mlp
from .network import Network as Network, check_optimizer as check_optimizer, wrap as wrap
from .parameter import Parameter as Parameter, parameter as parameter
