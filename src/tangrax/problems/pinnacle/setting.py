"""What all cases have in common: one network and one number of points for each number of inputs."""

from ... import nn

# By the number of inputs, time among them.
INTERIOR = {2: 4000, 3: 8000, 5: 8000, 6: 8000}
BOUNDARY = {2: 1000, 3: 2000, 5: 2000, 6: 2000}
INITIAL = {2: 1000, 3: 2000, 5: 2000, 6: 2000}
WIDTH = {2: 32, 3: 48, 5: 48, 6: 48}
EPOCHS = 200  # unless a user says otherwise; none is known to solve them


def network(inputs: int, outputs: int, seed: int, name: str | None = None) -> nn.Network:
    """Return a perceptron of three hidden layers with tanh, 32 wide for 2 inputs and 48 for more."""
    return nn.mlp(inputs, outputs, width=WIDTH[inputs], depth=3, key=seed, name=name)
