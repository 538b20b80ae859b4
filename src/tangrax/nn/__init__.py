"""`tx.nn`: networks and trainable numbers as handles; a call builds a field."""

from .architecture import from_recipe as from_recipe
from .layers import Dense as Dense
from .mlp import MLP as MLP, mlp as mlp
from .modified_mlp import ModifiedMLP as ModifiedMLP, modified_mlp as modified_mlp
from .network import Network as Network, check_optimizer as check_optimizer, wrap as wrap
from .parameter import Parameter as Parameter, parameter as parameter
from .pirate_net import PirateNet as PirateNet, pirate as pirate
from .siren import Siren as Siren, siren as siren
