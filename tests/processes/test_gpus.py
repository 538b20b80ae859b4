"""How the GPUs of a node are shared out: lists of devices are faked, since what is tested is who takes which.

The oracle is a table written by hand, and that the parts of a node's processes never overlap.
"""

import itertools
import sys

import jax
import pytest
from launching import launched

from tangrax import launch as launch_module
from tangrax.processes import Launch, Node, SingleProcess, gpus, own_gpus, share_out, uses_gpus
from tangrax.processes.gpus import visible_gpus

settings_module = sys.modules["tangrax.parallel.setup"]

# GPUs of a node, its processes: what each of them takes. None: refused.
SHARES = {
    (1, 1): None,
    (2, 2): [[0], [1]],
    (2, 1): None,
    (4, 1): None,
    (4, 2): [[0, 1], [2, 3]],
    (4, 3): [[0], [1], [2]],
    (4, 4): [[0], [1], [2], [3]],
    (8, 1): None,
    (8, 2): [[0, 1, 2, 3], [4, 5, 6, 7]],
    (8, 3): [[0, 1], [2, 3], [4, 5]],
    (8, 4): [[0, 1], [2, 3], [4, 5], [6, 7]],
}
TOO_FEW = [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4)]


def launch(place, count, coordinator="127.0.0.1:5"):
    return {"TANGRAX_PROCESSES": f"{count}", "TANGRAX_PROCESS": f"{place}", "TANGRAX_COORDINATOR": coordinator}


def mpi(world, local, ranks=("SIZE", "RANK")):
    """The second of two nodes that have as many ranks each."""

    def launched(place, count):
        whole = {f"{world}_{ranks[0]}": str(2 * count), f"{world}_{ranks[1]}": str(count + place)}
        return {**whole, local[0]: str(count), local[1]: str(place)}

    return launched


def slurm(place, count):
    """The second of two nodes."""
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "node[3-4]",
        "SLURM_NTASKS": str(2 * count),
        "SLURM_PROCID": str(count + place),
        "SLURM_LOCALID": str(place),
        "SLURM_NODEID": "1",
        "SLURM_STEP_TASKS_PER_NODE": f"{count}(x2)",
    }


OPEN_MPI = ("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")
HYDRA = ("MPI_LOCALNRANKS", "MPI_LOCALRANKID")
LAUNCHERS = {
    "tangrax": launch,
    "open mpi": mpi("OMPI_COMM_WORLD", OPEN_MPI),
    "mpich": mpi("PMI", HYDRA),
    "mvapich": mpi("MV2_COMM_WORLD", ("MV2_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_RANK")),
    "slurm": slurm,
    "slurm, per node": lambda place, count: {
        **slurm(place, count),
        "SLURM_STEP_TASKS_PER_NODE": "",
        "SLURM_NTASKS_PER_NODE": str(count),
    },
    "tangrax in a step of one task": lambda place, count: {**slurm(0, 1), **launch(place, count)},
    "mpirun in a step of one task": lambda place, count: {**slurm(0, 1), **LAUNCHERS["open mpi"](place, count)},
}


def seeing(count):
    names = ",".join(map(str, range(count)))
    return {"CUDA_VISIBLE_DEVICES": names, "SLURM_GPUS_ON_NODE": str(count)}


@pytest.fixture
def files(monkeypatch):
    """A /dev with so many GPUs."""

    def have(*numbers):
        result = [f"/dev/nvidia{number}" for number in numbers]
        monkeypatch.setattr(gpus.glob, "glob", lambda pattern: [*result, "/dev/nvidia0ctl"] if result else [])

    have()
    return have


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_equal_parts_under_every_launcher(launcher, files):
    """By CUDA_VISIBLE_DEVICES, and by the files of the devices where that is not set."""
    for (count, processes), each in SHARES.items():
        wanted = each or [None] * processes
        environments = [LAUNCHERS[launcher](place, processes) for place in range(processes)]
        assert [own_gpus({**e, **seeing(count)}) for e in environments] == wanted, (count, processes)
        files(*range(count))
        assert [own_gpus(e) for e in environments] == wanted, (count, processes)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_fewer_gpus_than_processes_are_refused(launcher):
    for count, processes in TOO_FEW:
        for place in range(processes):
            environ = {**LAUNCHERS[launcher](place, processes), **seeing(count)}
            counted = f"{processes} processes on this node, which sees {count} GPU"
            with pytest.raises(RuntimeError, match=f"{counted}.*NCCL.*fewer processes.*JAX_PLATFORMS=cpu"):
                own_gpus(environ)
            assert share_out(environ, used=False).own is None


@pytest.mark.parametrize("launcher", [name for name in LAUNCHERS if not name.startswith("slurm")])
def test_without_gpus_nothing_changes(launcher, files):
    for named in ({}, {"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}):
        assert own_gpus({**LAUNCHERS[launcher](1, 4), **named}) is None


@pytest.mark.parametrize(
    "environ, seen",
    [
        ({"CUDA_VISIBLE_DEVICES": "3,1"}, ["3", "1"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937, GPU-2a"}, ["GPU-8932f937", "GPU-2a"]),
        ({"CUDA_VISIBLE_DEVICES": "MIG-1b2c,MIG-3d4e"}, ["MIG-1b2c"]),  # CUDA shows one part of a GPU
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ["0"]),  # what follows a name that is none does not count
        ({"ROCR_VISIBLE_DEVICES": "0,1"}, ["0", "1"]),
        ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, ["1"]),
    ],
)
def test_visible_gpus_are_those_that_cuda_would_name(environ, seen):
    assert visible_gpus(environ) == seen


def test_a_container_counts_its_files_from_zero(files):
    assert visible_gpus({}) is None
    files(2, 11)
    assert visible_gpus({}) == ["0", "1"]


def test_names_are_shared_by_place_in_their_list():
    named = {"CUDA_VISIBLE_DEVICES": "GPU-d,GPU-a,GPU-c,GPU-b"}
    assert [own_gpus({**launch(place, 2), **named}) for place in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(RuntimeError, match=r"sees 1 GPU \(MIG-a\)"):
        own_gpus({**launch(0, 2), "CUDA_VISIBLE_DEVICES": "MIG-a,MIG-b"})


def test_processes_that_see_gpus_of_their_own_take_those():
    """As scripts between launcher and program make it, by CUDA_VISIBLE_DEVICES=$OMPI_COMM_WORLD_LOCAL_RANK."""
    for size in (1, 2):
        seen = [[str(size * place + i) for i in range(size)] for place in range(4)]
        for place, launcher in itertools.product(range(4), ("tangrax", "open mpi", "mpich")):
            environ = {**LAUNCHERS[launcher](place, 4), "CUDA_VISIBLE_DEVICES": ",".join(seen[place])}
            assert own_gpus(environ, node=Node(place, seen)) is None
            assert own_gpus(environ, "mpi", Node(place, seen)) == [0]


def test_places_among_several_nodes_come_from_meeting():
    """Variables of one's own tell no place on a node: 3 processes on a, 1 on b, in no order."""
    names, four = ["a", "b", "a", "a"], ["0", "1", "2", "3"]
    own = []
    for rank in range(4):
        environ = {**launch(rank, 4, "head:5000"), **seeing(4)}
        assert own_gpus(environ) is None
        own.append(own_gpus(environ, node=Node.of(rank, [(name, four) for name in names])))
    assert own == [[0], None, [1], [2]]


@pytest.mark.parametrize("more", [{"SLURM_GPUS_PER_TASK": "1"}, {"SLURM_GPU_BIND": "single:1"}])
def test_gpus_bound_to_a_task_are_its_own(more):
    """Slurm's cgroups number those of every task from 0."""
    for place in range(4):
        environ = {**slurm(place, 4), "CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_ON_NODE": "4", **more}
        assert own_gpus(environ, node=Node(place, [["0"]] * 4)) is None


def test_a_rank_of_mpi_takes_one():
    variables = LAUNCHERS["mpich"]
    assert [own_gpus({**variables(place, 2), **seeing(4)}, "mpi") for place in range(2)] == [[0], [2]]
    assert "2 left idle, since a rank of MPI takes one" in share_out({**variables(0, 2), **seeing(4)}, "mpi").notice
    with pytest.raises(RuntimeError, match=r"4 processes .* 2 GPUs .*XLA_CLIENT_MEM_FRACTION"):
        own_gpus({**variables(0, 4), **seeing(2)}, "mpi")
    sharing = {"XLA_CLIENT_MEM_FRACTION": ".4", **seeing(2)}
    assert [own_gpus({**variables(place, 4), **sharing}, "mpi") for place in range(4)] == [[0], [1], [0], [1]]


def test_idle_gpus_are_said_once():
    notices = [share_out({**launch(place, 3), **seeing(8)}).notice for place in range(3)]
    assert notices == ["8 GPUs (0,1,2,3,4,5,6,7) for 3 processes: 2 left idle, since shares are equal", "", ""]
    assert not any(share_out({**launch(place, 2), **seeing(8)}).notice for place in range(2))


def test_devices_per_process_are_taken_of_the_share():
    one_each = {"TANGRAX_DEVICES_PER_PROCESS": "1", **seeing(4)}
    assert [own_gpus({**launch(place, 2), **one_each}) for place in range(2)] == [[0], [2]]
    assert own_gpus({**launch(0, 1), **one_each}) == [0]
    with pytest.raises(RuntimeError, match="2 processes of 3 GPUs each on this node, which sees 4 GPUs"):
        own_gpus({**launch(0, 2), **one_each, "TANGRAX_DEVICES_PER_PROCESS": "3"})
    with pytest.raises(ValueError, match="TANGRAX_DEVICES_PER_PROCESS=two"):
        own_gpus({**launch(0, 2), **one_each, "TANGRAX_DEVICES_PER_PROCESS": "two"})


def test_devices_that_jax_is_told_of_are_left_to_it():
    assert own_gpus({**launch(1, 4), **seeing(4), "JAX_LOCAL_DEVICE_IDS": "3"}) is None


def test_platforms_that_are_gpus():
    assert uses_gpus("cuda") and uses_gpus("rocm,cpu") and uses_gpus("gpu")
    assert not uses_gpus("cpu") and not uses_gpus("tpu,cpu")


@pytest.mark.parametrize("devices, message", [(None, "4 processes on this node, which"), (2, "4 processes of 2 GPUs")])
def test_launch_refuses_before_it_starts_anything(devices, message, monkeypatch, capsys):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(launch_module, "start_process", lambda *_: pytest.fail("a process was started"))
    assert launch_module.launch_processes(["script.py"], 4, devices, mpi=False) == 2
    assert message in capsys.readouterr().err


class Met(SingleProcess):
    rank, size = 1, 2

    def shut_door(self): ...

    def heed_sigterm(self):
        pass


@pytest.mark.parametrize("transport", ["xla", "mpi"])
def test_a_share_reaches_jax_before_it_starts(transport, monkeypatch):
    for name, value in {**launch(1, 2), **seeing(4)}.items():
        monkeypatch.setenv(name, value)
    met = {"jax": "127.0.0.1:6", "bind": "127.0.0.1:6", "seen": [["here", list("0123")]] * 2}
    variables = {}
    monkeypatch.setattr(settings_module, "meet", lambda *_: (Met(), met))
    monkeypatch.setattr(settings_module, "announce", lambda *_: None)
    monkeypatch.setattr(settings_module, "jax_has_started", lambda: False)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **more: variables.update(more))
    monkeypatch.setattr(jax.config, "update", variables.__setitem__)
    settings_module.join_processes(Launch(transport, "tangrax", 2, 1, ""), 1, settings_module.Limits())
    if transport == "xla":
        assert variables["local_device_ids"] == [2, 3]
    else:
        assert variables == {"jax_cuda_visible_devices": "2", "jax_rocm_visible_devices": "2"}


@pytest.mark.processes
def test_launched_processes_show_jax_their_gpus(tmp_path):
    """JAX would take them for its GPUs; it computes on the CPU here."""
    script = tmp_path / "script.py"
    script.write_text("from jax._src import xla_bridge; print('takes', xla_bridge.CUDA_VISIBLE_DEVICES.value)")
    out = launched(["-n", "2"], [script], JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="4,5,6,7")
    assert {"[0] takes 0,1", "[1] takes 2,3"} <= set(out.splitlines())
