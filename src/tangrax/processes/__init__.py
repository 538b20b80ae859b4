"""The processes of a run, on the host's side: how they came to be, find each other, and notice when one is lost."""

from . import log as log, mpi_library as mpi_library
from .failure_verdict import Limits as Limits
from .fork_guard import jax_has_started as jax_has_started, refuse_fork as refuse_fork
from .gpus import DEVICES as DEVICES, Node as Node, own_gpus as own_gpus, share_out as share_out, uses_gpus as uses_gpus
from .hub import versions as versions
from .interruption import (
    AGREED as AGREED,
    Interruption as Interruption,
    job_end as job_end,
    raise_for as raise_for,
    say_stopped as say_stopped,
)
from .launcher_detection import Launch as Launch, detect as detect, mpi_ranks as mpi_ranks
from .peers import ConnectedProcess as ConnectedProcess, Peers as Peers, SingleProcess as SingleProcess
from .rendezvous import announce as announce, meet as meet, slurm_coordinator as slurm_coordinator
