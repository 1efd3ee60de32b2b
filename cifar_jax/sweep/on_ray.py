"""A sweep whose groups the workers of a Ray cluster train; the process that asks them to needs no device."""

from cifar_jax.errors import UserError
from cifar_jax.machine import ray_cluster, ray_workers
from cifar_jax.runs import workdir

MOST_NAMED = 4  # runs of a group, in a message


def train_sweep(argv, given, each):
    """Let workers train the groups of a sweep and write its tables.

    Args:
        argv: of the command line.
        given: its flags.
        each: of ray_workers.resources.
    Raises:
        UserError: a group failed; the others are trained.
    """
    groups = max(given.groups, given.ray_workers)
    argv = [*argv, "--ray_workers=0", "--nodistributed", f"--groups={groups}"]
    with ray_cluster.connected(), workdir.claimed(given.workdir) as folder:
        planned = ray_workers.call(_worker("plan"), (argv,), "plan", each)
        sizes = ", ".join(str(len(runs)) for runs in planned)
        ray_cluster.say(f"{len(planned)} groups: {sizes} runs; {given.ray_workers} workers of Ray")
        names = {f"group {i + 1}/{len(planned)}": i for i in range(len(planned))}
        calls = {name: (_worker("train_group"), (argv, i)) for name, i in names.items()}

        def standing(name):
            return ray_workers.newest(folder / "checkpoints" / str(names[name]))

        rows, failures = ray_workers.call_each(calls, given.ray_workers, each, standing)
        if failures:
            runs = {name: planned[i] for name, i in names.items()}
            raise UserError(failed(failures, runs))
        finished = [row for name in names for row in rows[name]]
        ray_workers.call(_worker("write_tables"), (argv, finished), "tables", each)


def failed(failures, runs):
    """Say which groups of a sweep failed.

    Args:
        failures: {name of the group: why}.
        runs: {name of a group: names of its runs}, all groups.
    """
    lines = []
    for name, why in failures.items():
        named = ", ".join(runs[name][:MOST_NAMED])
        more = len(runs[name]) - MOST_NAMED
        lines.append(f"{name} ({named}{f' and {more} more' if more > 0 else ''}): {why}")
    done = len(runs) - len(failures)
    lines.append(
        f"{done} of {len(runs)} groups are trained; the same command goes on with the rest."
    )
    return "\n".join(lines)


def _worker(name):
    return f"cifar_jax.sweep.on_ray:{name}"


def plan(argv):
    """Call shares.plan in a worker."""
    return _shared("plan", argv)


def train_group(argv, index):
    """Call shares.train_group in a worker."""
    return _shared("train_group", argv, index)


def write_tables(argv, finished):
    """Call shares.write_tables in a worker."""
    return _shared("write_tables", argv, finished)


def _shared(name, argv, *arguments):
    from cifar_jax.sweep import __main__, shares

    sweep, given = __main__.parse(argv)
    return getattr(shares, name)(*arguments, *__main__.arguments(sweep, given))
