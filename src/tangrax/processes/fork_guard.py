"""Forks of a process: JAX's threads do not come along, and what computes there would wait for them for ever."""

import os

import jax


class _Fork:
    """Whether JAX had started when this process was last forked, and the process that it is such a fork of."""

    started = False
    parent: int | None = None

    def before(self) -> None:
        self.started = jax_has_started()

    def in_child(self) -> None:
        if self.started:
            self.parent = os.getppid()


_FORK = _Fork()
os.register_at_fork(before=_FORK.before, after_in_child=_FORK.in_child)


def refuse_fork(what: str) -> None:
    """Raise RuntimeError in a process that was forked after JAX had started, before anything is computed there."""
    if _FORK.parent is not None:
        raise RuntimeError(
            f"{what}: this process was forked from process {_FORK.parent} after JAX had started there, and would hang: "
            f"JAX's threads do not come along. Start it with multiprocessing.get_context('spawn'), or fork before "
            f"networks and solvers are made"
        )


def jax_has_started() -> bool:
    """Whether JAX has made its devices, which is when it refuses this setting to change."""
    before = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]
    try:
        jax.config.update("jax_num_cpu_devices", 1 if before != 1 else 2)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False
