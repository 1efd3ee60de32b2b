"""Where a process stands among those of its run: as flags and the environment tell.

Without flags, and where the environment tells of one process only, nothing is imported.
"""

import dataclasses
import re

from cifar_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a process stands among those of its run; None where JAX is to detect it."""

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def define_flags(values):
    """Define --coordinator, --processes, --process and --distributed in absl's FlagValues."""
    from absl import flags

    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0.", flag_values=values)
    flags.DEFINE_integer("processes", None, "Of the run.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("process", None, "This one.", lower_bound=0, flag_values=values)
    flags.DEFINE_boolean("distributed", None, "Detect the processes.", flag_values=values)


def place(flags, environment):
    """Return the Place that flags or the environment give; None for a run of one process.

    Args:
        flags: absl FlagValues with the flags of `define_flags`.
        environment: dict, such as os.environ.
    Raises:
        ConfigError: the flags don't name one place.
    """
    given = (flags.coordinator, flags.processes, flags.process)
    if given != (None, None, None):
        if None in given:
            raise ConfigError(
                "--coordinator=HOST:PORT, --processes=N and --process=I go together, such as "
                "--coordinator=10.0.0.1:4321 --processes=2 --process=0"
            )
        if flags.process >= flags.processes:
            raise ConfigError(
                f"--process={flags.process} is none of {flags.processes}; they count from 0"
            )
        if not re.fullmatch(r".+:\d+", flags.coordinator):
            raise ConfigError(
                f"--coordinator={flags.coordinator} is no HOST:PORT, such as 10.0.0.1:4321"
            )
        return Place(*given) if flags.processes > 1 else None
    detect = tells_of_several(environment) if flags.distributed is None else flags.distributed
    return Place() if detect else None


def tells_of_several(environment):
    """Tell whether Slurm's srun, Open MPI's mpirun or GKE's TPU pods started this process beside others.

    JAX detects these by the environment alone. TPU VMs and Kubernetes have to be asked over the network, as
    --distributed does.
    """

    def several(name):
        return environment.get(name, "").isdecimal() and int(environment[name]) > 1

    in_step = {"SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID"}
    slurm = several("SLURM_NTASKS") and in_step <= environment.keys()
    open_mpi = several("OMPI_COMM_WORLD_SIZE") and "OMPI_MCA_orte_hnp_uri" in environment
    workers = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES")
    return slurm or open_mpi or "," in (workers or "") or several("MEGASCALE_NUM_SLICES")
