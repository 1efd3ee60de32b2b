"""A whole sweep: its groups one after the other, and its tables."""

import functools

import jax

from cifar_jax.analysis import style
from cifar_jax.config import jax_settings
from cifar_jax.machine import files, processes, runtime
from cifar_jax.models import weight_files
from cifar_jax.runs import checkpoints, writers
from cifar_jax.sweep import figures, loop, opening, results, run_folders, summary
from cifar_jax.sweep import stack as stack_lib
from cifar_jax.train import epochs, inputs
from cifar_jax.train.setup import build, remark_on_data


@jax_settings.pinned()
def train_sweep(sweep, count, folder, memory_gb=None, console=None, turns=None, least_groups=1):
    """Train all runs of a sweep, from the start or from where the folder stands.

    Args:
        sweep: cells.Sweep, as of cells.load.
        count: seeds for each cell.
        folder: the workdir.
        memory_gb: for all devices together, in 10^9 bytes; None = runtime.available_bytes.
        console: rich.console.Console to print on.
        turns: of stack_lib.make_programs; None = stack_lib.takes_turns.
        least_groups: groups that there are to be at least, if there are as many runs.
    Returns:
        rows of runs.csv: a list of dicts, cell by cell.
    Raises:
        UserError: and its kinds; see errors.py.
    """
    with opening.opened(sweep, count, folder, memory_gb, console, turns, least_groups) as work:
        return train_in(work)


def train_in(work):
    """Train all groups of an opening.OpenSweep and write the tables: rows of runs.csv."""
    planned, display = work.groups, work.display
    count = len(work.runs) // len(work.sweep.cells)
    display.say(
        f"{len(work.sweep.cells)} cells x {count} seeds = {len(work.runs)} runs in {len(planned)} groups: "
        f"{', '.join(str(len(group.runs)) for group in planned)} runs; {work.dataset.name}; "
        f"{runtime.hardware()}"
    )
    epoch_rows, finished = [], []
    try:
        with runtime.catch_signals() as caught, display:
            display.plan(steps_of(planned, work.dataset))
            for index, group in enumerate(planned):
                finished += train_group(work.job(index), group, epoch_rows, caught, display)
    finally:
        write_epochs(work, epoch_rows)
    return write_tables(work, epoch_rows, finished)


def steps_of(planned, dataset):
    """Count the steps of each group's runs together, as if none stopped early: a list."""
    _, labels = dataset.split("train")

    @functools.cache
    def images(fraction, seed):
        return len(dataset.divide(labels, fraction, seed)[0])

    def count(group):
        config, held_out = group.config, group.config.dataset
        per_epoch = images(held_out.validation_fraction, held_out.split_seed) // config.batch_size
        return len(group.runs) * config.total_epochs * per_epoch

    return list(map(count, planned))


def in_order(runs, rows):
    """Sort rows of tables by epoch, where they have one, and by run, however the runs are grouped."""
    order = {run.name: i for i, run in enumerate(runs)}
    return sorted(
        rows, key=lambda row: (row.get("epoch", 0), order[f"{row['cell']}/{row['seed']}"])
    )


def write_epochs(work, epoch_rows):
    """Write results.csv of an opening.OpenSweep."""
    if processes.is_first():
        rows = in_order(work.runs, epoch_rows)
        files.write_csv(work.folder / "results.csv", results.EPOCH_COLUMNS, rows)


def write_tables(work, epoch_rows, finished):
    """Write runs.csv, summary.md and the figures, and say the summary.

    Args:
        work: opening.OpenSweep.
        epoch_rows, finished: rows of results.csv and of runs.csv.
    Returns:
        rows of runs.csv, in order.
    """
    finished = in_order(work.runs, finished)
    if not processes.is_first():
        return finished
    folder, sweep, runs = work.folder, work.sweep, work.runs
    epoch_rows = in_order(runs, epoch_rows)
    files.write_csv(folder / "runs.csv", results.RUN_COLUMNS, finished)
    reported = {run.cell: run.config.reported.value for run in runs}
    provenance = [
        f"{work.dataset.name}; {runtime.hardware()}; jax {jax.__version__}. Every run: `runs.csv`; every epoch: "
        "`results.csv`; accuracies in both are fractions of 1, not per cent. Figures: `test_accuracy.png`, "
        "`validation_accuracy.png`, `train_loss.png` and the same as `.svg`. Each run with a result is a folder of "
        "`runs/`, to be opened as any run's."
    ]
    text = summary.markdown(sweep, reported, finished, provenance)
    files.write_text(folder / "summary.md", text)
    figures.write(folder, epoch_rows, list(sweep.cells))
    accuracies = {cell: list(summary.accuracies(finished, cell).values()) for cell in sweep.cells}
    if bars := figures.bars(accuracies, _in_accuracy(runs)):
        style.save(bars, folder, "test_accuracy")
    work.display.say(text)
    work.display.say(summary.next_commands(folder, sweep, finished))
    return finished


def _in_accuracy(runs):
    """Return {cell: reported test accuracy}; None where the report states none, or another metric."""
    fields = {run.cell: run.config.reported for run in runs}
    return {
        cell: each.value if each.metric.startswith("test accuracy") else None
        for cell, each in fields.items()
    }


def train_group(job, group, epoch_rows, caught, display):
    """Train and test one group.

    Args:
        job: opening.Job.
        group: groups.Group.
        epoch_rows: list, to which its rows of results.csv are added.
        caught: list that a signal is put into.
        display: sweep_progress.SweepDisplay.
    Returns:
        rows of runs.csv.
    """
    with opening.locked(job.folder, f"group_{job.index}", display.say, caught):
        return _train_group(job, group, epoch_rows, caught, display)


def _train_group(job, group, epoch_rows, caught, display):
    devices, say = len(jax.devices()), display.say
    members = loop.padded(group.runs, devices)
    make_programs = functools.partial(stack_lib.make_programs, runs=len(members), turns=job.turns)
    setup = build(group.config, job.dataset, make_programs, group.dropout_from_hyper)
    if remark := remark_on_data(group.config, job.dataset):
        say(remark)
    file = group.config.model.weights
    gone = weight_files.is_gone(file)
    start = stack_lib.create(setup, [member.config for member in members], not gone)
    checkpoint_folder = job.folder / "checkpoints" / str(job.index)
    with checkpoints.opened(checkpoint_folder, say) as manager:
        at, record, old_about = loop.restore(manager, start, len(group.runs), setup.mesh, say)
        if old_about is None and gone:
            raise inputs.needs_weights(job.folder, file)
        if old_about is not None:
            opening.check_same(job.folder, old_about, job.about)
            say(f"{job.name}: resuming at step {int(at.step):,} of {setup.total_steps:,}")
        path = job.folder / "metrics" / f"{job.index}.jsonl"
        lines = writers.Nowhere()
        if processes.is_first():
            path.parent.mkdir(exist_ok=True)
            lines = writers.JsonLines(path, int(at.step))
            epoch_rows += lines.rows

        def log(rows, seconds):
            for row in rows:
                lines.write(row)
            epoch_rows.extend(rows)
            say(f"{job.name}  {line(rows, setup, seconds)}")

        def show(step):
            epoch = -(-step // setup.steps_per_epoch)
            display.interval(step * len(group.runs), epoch, setup.config.total_epochs)

        display.group(job.index, int(at.step) * len(group.runs))
        training = loop.GroupTraining(setup, group, at, record, manager, job.about, log, show)
        try:
            step = epochs.run(training, int(at.step), caught)
            epochs.raise_if_stopped(caught, f"step {step:,} of a group")
        finally:
            lines.close()
    display.group_ended(step * len(group.runs))
    return end_group(job, setup, group, training, epoch_rows)


def end_group(job, setup, group, training, epoch_rows):
    """Test a group that was trained and write the folders of its runs; arguments as of train_group.

    Args:
        training: loop.GroupTraining.
    Returns:
        rows of runs.csv.
    """
    stack = training.stack
    tested = results.test(setup, stack)
    seconds = training.record.train_seconds
    rows = results.run_rows(setup, group, stack, seconds, tested, job.names)
    contents = run_folders.contents(job, setup, group, stack, rows, tested, epoch_rows)
    if processes.is_first():
        run_folders.write(job.folder, contents)
    return rows


def line(rows, setup, seconds):
    """Describe an epoch in one line."""
    going = sum(row["status"] in ("running", "finished") for row in rows)
    images = len(rows) * setup.steps_per_epoch * setup.config.batch_size
    text = (
        f"epoch {rows[0]['epoch']}/{setup.config.total_epochs}  {going} of {len(rows)} runs go on"
    )
    valid = [row for row in rows if row["validation_accuracy"] is not None]
    if valid:
        best = max(valid, key=lambda row: row["validation_accuracy"])
        text += f"  best validation accuracy {best['validation_accuracy']:.2%} ({best['cell']})"
    return f"{text}  {seconds:.1f} s  {images / max(seconds, 1e-9):,.0f} images/s in all"
