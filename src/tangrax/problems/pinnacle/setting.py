"""What all cases have in common: one network, and one number of points of each kind."""

from ... import nn

INTERIOR, BOUNDARY, INITIAL = 4000, 1000, 1000
EPOCHS = 200  # unless a user says otherwise; none is known to solve them


def network(inputs: int, outputs: int, seed: int, name: str | None = None) -> nn.Network:
    """Return a perceptron of three hidden layers, 32 wide, with tanh."""
    return nn.mlp(inputs, outputs, width=32, depth=3, key=seed, name=name)
