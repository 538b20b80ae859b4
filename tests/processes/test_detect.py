"""Which transport a process uses: an argument beats TANGRAX_TRANSPORT beats what the launcher left."""

import itertools
import sys

import jax
import pytest

import tangrax as tx
from tangrax.parallel import Settings
from tangrax.processes import detect, own_gpus, slurm_coordinator

settings_module = sys.modules["tangrax.parallel.setup"]

STEP = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[3-4],other",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}
SHELL = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
ENVIRONMENTS = {
    "nothing": ({}, "single", 1, 0),
    "slurm step": (STEP, "xla", 4, 2),
    "slurm step of one task": ({**STEP, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, "single", 1, 0),
    "shell in an allocation": (SHELL, "single", 1, 0),
    "mpich": ({"PMI_SIZE": "3", "PMI_RANK": "1"}, "mpi", 3, 1),
    "open mpi": ({"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"}, "mpi", 3, 2),
    "one mpi rank": ({"PMI_SIZE": "1", "PMI_RANK": "0"}, "single", 1, 0),
    "srun --mpi=pmi2": ({**STEP, "PMI_SIZE": "4", "PMI_RANK": "2"}, "xla", 4, 2),
    "mpirun inside a step": ({**STEP, "SLURM_NTASKS": "1", "PMI_SIZE": "4", "PMI_RANK": "2"}, "mpi", 4, 2),
    "the shell of salloc": ({**STEP, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, "single", 1, 0),
    "mpirun in an allocation": ({**SHELL, "PMI_SIZE": "2", "PMI_RANK": "1"}, "mpi", 2, 1),
    "tangrax launch": (
        {"TANGRAX_PROCESSES": "2", "TANGRAX_PROCESS": "1", "TANGRAX_COORDINATOR": "127.0.0.1:5"},
        "xla",
        2,
        1,
    ),
}
# Slurm's ways of handing out GPUs change CUDA_VISIBLE_DEVICES and SLURM_LOCALID, never the transport.
GPUS = {
    "no gpus": {},
    "gpus per task": {"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_PER_TASK": "1"},
    "gres": {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPUS_ON_NODE": "4"},
    "gpu-bind": {"CUDA_VISIBLE_DEVICES": "2"},
}


@pytest.mark.parametrize("name, gpus", list(itertools.product(ENVIRONMENTS, GPUS)))
def test_detection(name, gpus):
    environ, transport, processes, process = ENVIRONMENTS[name]
    result = detect({**environ, **GPUS[gpus]})
    assert (result.transport, result.processes, result.process) == (transport, processes, process)


@pytest.mark.parametrize("name, wanted", list(itertools.product(ENVIRONMENTS, ["single", "xla", "mpi"])))
def test_an_argument_beats_the_variable_beats_detection(name, wanted):
    environ = ENVIRONMENTS[name][0]
    assert detect({**environ, "TANGRAX_TRANSPORT": wanted}).transport == wanted
    for other in ("single", "xla", "mpi"):
        assert detect({**environ, "TANGRAX_TRANSPORT": other}, wanted).transport == wanted


def test_mpi_ranks_of_a_slurm_step():
    result = detect({**STEP, "PMI_SIZE": "4", "PMI_RANK": "3", "TANGRAX_TRANSPORT": "mpi"})
    assert (result.processes, result.process) == (4, 3)


def test_a_shell_in_an_allocation_says_so():
    assert "not in a step of srun: no SLURM_STEP_NODELIST" in detect(SHELL).rule


def test_unknown_transports_are_refused():
    with pytest.raises(ValueError, match=r"TANGRAX_TRANSPORT=nccl.*single, xla, mpi"):
        detect({"TANGRAX_TRANSPORT": "nccl"})


@pytest.mark.parametrize(
    "nodes, first",
    [
        ("node1", "node1"),
        ("node[3-4],other", "node3"),
        ("gpu[07,09]", "gpu07"),
        ("a,b", "a"),
        ("r[1-2]i0n[0-35]", "r1i0n0"),
        ("gpu[01-04]-ib", "gpu01-ib"),
    ],
)
def test_the_coordinator_is_the_first_node(nodes, first):
    address = slurm_coordinator({"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "5000"})
    host, port = address.split(":")
    assert host == first and 1024 < int(port) < 65536


@pytest.mark.parametrize(
    "more, own",
    [
        ({}, [2]),  # GPUs not handed out by Slurm: one each
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, [2]),  # --gres=gpu:4, every task sees all
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7", "SLURM_GPUS_ON_NODE": "8"}, [4, 5]),
        ({"CUDA_VISIBLE_DEVICES": "2"}, None),  # bound: SLURM_LOCALID is no index into one device
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPUS_PER_TASK": "4"}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPUS_ON_NODE": "16"}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPU_BIND": "single:1"}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_TRES_PER_TASK": "cpu=8"}, [2]),  # --cpus-per-task alone
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_TRES_PER_TASK": "cpu=8,gres/gpu=1"}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "SLURM_GPUS_PER_TASK": "1", "SLURM_GPU_BIND": "none"}, [2]),
    ],
)
def test_gpus_of_a_task(more, own):
    """Four tasks on this node, this the third of them, on the second of two nodes."""
    step = {**STEP, "SLURM_LOCALID": "2", "SLURM_NODEID": "1", "SLURM_STEP_TASKS_PER_NODE": "1,4"}
    assert own_gpus({**step, **more}) == own


def test_one_task_a_node_has_all_gpus():
    node = {**STEP, "SLURM_STEP_TASKS_PER_NODE": "1(x4)", "SLURM_NODEID": "3", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    assert own_gpus(node) is None
    assert own_gpus({}) is None


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(settings_module, "current", Settings())
    for name in (*STEP, "TANGRAX_TRANSPORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_setup_in_a_shell_of_an_allocation_says_so(fresh, capsys):
    for name, value in SHELL.items():
        fresh.setenv(name, value)
    assert tx.setup().processes == 1
    assert "one process, inside a Slurm allocation but not in a step of srun" in capsys.readouterr().err


def test_setup_is_idempotent_and_final(fresh):
    assert tx.setup(transport="single").launch == tx.setup().launch
    with pytest.raises(RuntimeError, match="set up with single"):
        tx.setup(transport="mpi")
    for bad in ({"dtype": "float16"}, {"matmul_precision": "exact"}, {"timeout": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            tx.setup(**bad)


def test_dtype_is_that_of_the_run(fresh):
    before = jax.config.jax_enable_x64
    try:
        tx.setup(dtype="float32")
        assert not jax.config.jax_enable_x64
        tx.setup(dtype="float64")
        net = tx.nn.wrap(lambda p, z: p * z[0], jax.numpy.asarray(2.0))
        x, _ = tx.domain.line(mesh_size=0.5).variable("interior")
        import optax

        solver = tx.core([net(x).mse], optimizer=optax.sgd(0.1), devices=1)
        assert solver.eval(net(x)).dtype == "float64"
    finally:
        jax.config.update("jax_enable_x64", before)


def test_unjoined_tasks_are_refused(fresh):
    """Inside a step of several tasks that was not set up, tx.core would train a copy in each."""
    for name, value in STEP.items():
        fresh.setenv(name, value)
    net = tx.nn.mlp(1, width=3)
    x, _ = tx.domain.line(mesh_size=0.5).variable("interior")
    import optax

    with pytest.raises(RuntimeError, match=r"process 2 of 4 .*tangrax run"):
        tx.core([net(x).mse], optimizer=optax.sgd(0.1))


def test_setup_after_the_first_array_says_so(fresh):
    fresh.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1")
    for name, value in STEP.items():
        fresh.setenv(name, value)
    jax.devices()  # whatever ran before in this worker
    with pytest.raises(RuntimeError, match="too late"):
        tx.setup(timeout=5)
