"""A sweep whose groups several machines train, in one folder that all share: the plan, a group, and the tables.

None keeps others out of the workdir, but for the group that it trains. A group is trained where it stopped, or only
tested again, as often as it is asked for.
"""

from cifar_jax.config import jax_settings
from cifar_jax.errors import ConfigError
from cifar_jax.machine import runtime
from cifar_jax.runs import writers
from cifar_jax.sweep import driver, opening


@jax_settings.pinned()
def plan(*sweep, **options):
    """Make the plan of a sweep, or read that with which it began.

    Args:
        sweep, options: of driver.train_sweep.
    Returns:
        for each group the names of its runs, "CELL/SEED": a list of lists.
    """
    with opening.opened(*sweep, **options, alone=False) as work:
        return [[run.name for run in group.runs] for group in work.groups]


@jax_settings.pinned()
def train_group(index, *sweep, **options):
    """Train and test one group of a sweep, and write the folders of its runs.

    Args:
        index: of the group, from 0.
        sweep, options: of driver.train_sweep.
    Returns:
        its rows of runs.csv.
    Raises:
        UserError: and its kinds; ConfigError also where the sweep has no such group.
    """
    with opening.opened(*sweep, **options, alone=False) as work:
        count, display = len(work.groups), work.display
        if index >= count:
            raise ConfigError(f"--group={index}: the sweep has {count} groups, 0 to {count - 1}")
        steps = driver.steps_of(work.groups, work.dataset)
        with runtime.catch_signals() as caught, display:
            display.plan([steps[i] if i == index else 0 for i in range(count)])
            return driver.train_group(work.job(index), work.groups[index], [], caught, display)


@jax_settings.pinned()
def write_tables(finished, *sweep, **options):
    """Join the groups of a sweep, all of them trained: write its tables and figures.

    Args:
        finished: rows that `train_group` returned, of all groups.
        sweep, options: of driver.train_sweep.
    Returns:
        rows of runs.csv, in order.
    """
    with opening.opened(*sweep, **options, alone=False) as work:
        files = (work.folder / "metrics" / f"{i}.jsonl" for i in range(len(work.groups)))
        epoch_rows = [row for file in files for row in writers.read_rows(file)]
        driver.write_epochs(work, epoch_rows)
        return driver.write_tables(work, epoch_rows, finished)
