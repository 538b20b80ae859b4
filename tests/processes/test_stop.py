"""Signals while training runs in one process: held back until the stretch has ended, and none is lost."""

import signal

import optax
import pytest

import tangrax as tx
from tangrax.processes import Interruption


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_is_noted_and_the_second_acts():
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt), interruption.held():
        signal.raise_signal(signal.SIGINT)
        assert interruption.signal == signal.SIGINT
        interruption.answered = True
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second one was held back too")


def test_one_that_comes_too_late_acts_at_the_end():
    interruption = Interruption()
    reached = False
    with pytest.raises(KeyboardInterrupt), interruption.held():
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert reached and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_echo_is_no_second_signal():
    """Another process got the signal first and all stopped: this one's own comes while the script saves."""
    interruption = Interruption()
    with interruption.held():
        interruption.answered = True
    interruption.expect(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


class Interrupter:
    """A listener that sends a signal after some stretch."""

    def __init__(self, number):
        self.number, self.epochs = number, []

    def on_start(self, run):
        pass

    def on_stretch(self, stretch):
        self.epochs.append(stretch.epoch)
        if len(self.epochs) == 2:
            signal.raise_signal(self.number)

    def on_end(self):
        self.epochs.append("end")


@pytest.mark.parametrize("number, raised", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_training_stops_whole(number, raised, capsys):
    """Parameters, history and epoch fit each other, and training can go on from there."""
    x, _ = tx.domain.line(mesh_size=0.2).variable("interior")
    net = tx.nn.mlp(1, width=3, depth=1, key=0)
    solver = tx.core([(net(x) - x).mse], optimizer=optax.adam(1e-2), devices=1)
    listener = Interrupter(number)
    with pytest.raises(raised) as caught:
        solver.solve(10**6, progress=False, listeners=[listener])
    assert raised is KeyboardInterrupt or caught.value.code == 143
    assert listener.epochs[-1] == "end" and listener.epochs[-2] == solver.epoch < 10**6
    assert len(solver.history["loss"]) == solver.epoch
    assert f"after epoch {solver.epoch}" in capsys.readouterr().err
    whole = tx.core([(net(x) - x).mse], optimizer=optax.adam(1e-2), devices=1)
    solver.solve(5, progress=False)
    whole.solve(solver.epoch, progress=False)
    assert solver.history["loss"][-1] == pytest.approx(whole.history["loss"][-1], rel=1e-6)
