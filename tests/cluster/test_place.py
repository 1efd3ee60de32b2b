"""Where a process stands, from flags and from the environment; nothing here starts another process of a run."""

import subprocess
import sys
import types

import pytest

from cifar_jax import main
from cifar_jax.errors import ConfigError, LostProcess, UserError
from cifar_jax.machine import joining, places, processes

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_MCA_orte_hnp_uri": "4096.0;tcp://10.0.0.1:1"}
NONE = {"coordinator": None, "processes": None, "process": None, "distributed": None}


def place(environment=(), **flags):
    return places.place(types.SimpleNamespace(**{**NONE, **flags}), dict(environment))


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        (SLURM, True),
        ({**SLURM, "SLURM_NTASKS": "1"}, False),
        # A batch script without srun is one process, however many tasks were asked for.
        ({name: SLURM[name] for name in SLURM if name != "SLURM_STEP_NODELIST"}, False),
        (OPEN_MPI, True),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_PROCESS_ADDRESSES": "a:8476,b:8476", "TPU_WORKER_HOSTNAMES": "a"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "2"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}, False),
    ],
)
def test_an_environment_tells_of_several_processes(environment, several):
    assert place(environment) == (places.Place() if several else None)
    assert place(environment, distributed=True) == places.Place()
    assert place(environment, distributed=False) is None


def test_flags_come_before_the_environment():
    flags = {"coordinator": "host:1", "processes": 2, "process": 1}
    assert place(SLURM, **flags) == places.Place("host:1", 2, 1)
    assert place(SLURM, **{**flags, "processes": 1, "process": 0}) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--processes=2", "--process=0"], "go together"),
        (["--coordinator=a:1", "--processes=2", "--process=2"], "count from 0"),
        (["--coordinator=a", "--processes=2", "--process=0"], "HOST:PORT"),
        (["--coordinator=a:1", "--processes=0", "--process=0"], "processes"),
        (["--coordinater=a:1"], "did you mean `coordinator`"),
    ],
)
def test_flags_that_name_no_place_are_refused(arguments, message):
    start = ["main", "--config", "configs/quickstart.py", "--workdir", "unused"]
    with pytest.raises(ConfigError, match=message):
        main.main([*start, *arguments])


def test_first_of_all_then_of_each_host_then_the_rest():
    hosts = ["a", "b", "a", "c", "b"]
    assert [processes.turn(hosts, process) for process in range(5)] == [0, 1, 2, 1, 2]


def test_one_process_imports_nothing_and_decides_alone():
    code = (
        "import sys; from cifar_jax.machine import joining, processes\n"
        "with joining.joined(None): pass\n"
        "assert processes.is_first() and processes.in_turns(lambda: 3) == 3\n"
        "assert (processes.signal_of_any([]), processes.signal_of_any([15, 2])) == (0, 15)\n"
        "assert processes.of_first([1]) == [1] and not {'jax', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("lost", [True, False])
def test_the_loss_of_another_process_is_told_from_other_errors(lost):
    text = "UNKNOWN: Gloo all-reduce failed: Connection closed by peer" if lost else "no Gloo"
    error = RuntimeError("orbax")
    error.__cause__ = ValueError(text)
    assert joining.is_loss(error) is lost
    assert not joining.is_loss(UserError(text))


def test_exit_codes_stand_in_the_help():
    assert f" {LostProcess.exit_code} another" in main.__doc__
