"""The display of a training: a progress bar on a terminal, plain lines elsewhere, a table at the end."""

import contextlib
import datetime
import shlex
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cifar_jax.config import rules
from cifar_jax.console import notebook_bar, program
from cifar_jax.console.endings import printable
from cifar_jax.console.tables import Table, percent, to_rich

WORTH_SAYING = 60.0  # seconds of a training whose length is estimated
PLAIN_SECONDS = 10.0  # least time between two lines within an epoch
COMPILING = 1.0  # seconds of a compilation that is said


def duration(seconds):
    """Write a length of time in its two greatest units, such as "2 h 10 min", or as "0.4 s"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    for name, size, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // part} {smaller}"
    return f"{seconds} s"


def estimate(step_seconds, steps, epoch_steps, batch, now):
    """Say how long the steps to come will take, evaluations not counted.

    Args:
        step_seconds: of a step.
        steps: to come.
        epoch_steps: of an epoch.
        batch: images a step.
        now: datetime.
    """
    left = step_seconds * steps
    end = now + datetime.timedelta(seconds=left)
    day = f"{end:%a %H:%M}" if end.date() != now.date() else f"{end:%H:%M}"
    epoch = duration(step_seconds * epoch_steps)
    return (
        f"{batch / step_seconds:,.0f} images/s: about {epoch} an epoch, {duration(left)} in all, until {day} "
        "(evaluations not counted)"
    )


@contextlib.contextmanager
def counting(what, total):
    """Show on stderr how many of `total` are done: a bar on a terminal, elsewhere a line every PLAIN_SECONDS.

    Args:
        what: is counted, in words.
        total: int.
    Yields:
        a function that takes how many more are done, 1 by default.
    """
    console, done, last_line = Console(stderr=True, highlight=False), 0, time.monotonic()
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=total)

    def advance(count=1):
        nonlocal done, last_line
        done = min(done + count, total)
        bar.update(task, completed=done)
        if bar.disable and time.monotonic() - last_line > PLAIN_SECONDS:
            console.print(f"{what}: {done:,} of {total:,}", markup=False, soft_wrap=True)
            last_line = time.monotonic()

    with bar:
        yield advance


def is_wide(console):
    """Tell whether a console's line holds all in full words."""
    return console.width >= 150


def new_bar(console, **options):
    """Make the bar of steps of a notebook or a terminal; None elsewhere.

    Args:
        console: rich.console.Console.
        options: of rich.progress.Progress.
    """
    if notebook_bar.in_notebook():
        return notebook_bar.NotebookBar()
    if not console.is_terminal:
        return None
    wide = (TextColumn("{task.completed}/{task.total} steps"), TimeElapsedColumn())
    return Progress(
        SpinnerColumn("line"),  # moves while a program is compiled, and within a long step
        TextColumn("{task.description}"),
        BarColumn(bar_width=40 if is_wide(console) else 6),
        *(wide if is_wide(console) else ()),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        **options,
    )


class Display:
    """Context manager; `say`, `interval` and `epoch` may be called in any order."""

    def __init__(self, total_steps, total_epochs, console=None):
        self.console = console or Console(highlight=False)
        self._epochs = total_epochs
        self._last_line = time.monotonic()
        self._bar = new_bar(self.console)
        if self._bar:
            self._task = self._bar.add_task("compiling", total=total_steps)

    def __enter__(self):
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_):
        if self._bar:
            self._bar.stop()

    def _is_wide(self):
        """Tell whether a line holds all in full words, rather than the same figures in fewer columns."""
        return is_wide(self.console)

    def say(self, text):
        """Print one line of text."""
        self.console.print(text, markup=False, soft_wrap=True)

    def may_stop(self):
        """Say on a terminal that a training may be stopped."""
        if self.console.is_terminal:
            self.say("Ctrl-C saves and stops; the same command goes on from there")

    def compiled(self, seconds):
        """Take how long the compilation took."""
        if seconds >= COMPILING:
            self.say(f"compiled in {seconds:.1f} s")
        if self._bar:
            self._bar.update(self._task, description="first steps")

    def moved(self, step):
        """Show how many steps are done, within a log interval."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def interval(self, step, epoch, loss, accuracy, learning_rate, images_per_second):
        """Show the figures of a log interval; `epoch` counts from 1, `accuracy` is a fraction."""
        text = (
            f"epoch {epoch}/{self._epochs}  loss {loss:.4f}  accuracy {percent(accuracy)}  "
            f"learning rate {learning_rate:.3g}  {images_per_second:,.0f} images/s"
        )
        if self._bar:
            if not self._is_wide():
                text = (
                    f"{epoch}/{self._epochs} loss {loss:.3f} accuracy {percent(accuracy, 1)} "
                    f"rate {learning_rate:.1e} {images_per_second:,.0f}/s"
                )
            self._bar.update(self._task, completed=step, description=text)
        elif time.monotonic() - self._last_line > PLAIN_SECONDS:
            self.say(f"  step {step}  {text}")
            self._last_line = time.monotonic()

    def epoch(self, epoch, train, validation, seconds):
        """Print the figures of an epoch; `train` and `validation` are dicts with loss and accuracy, or None."""
        text = (
            f"epoch {epoch}/{self._epochs}  train loss {train['loss']:.4f} "
            f"accuracy {percent(train['accuracy'])}"
        )
        if validation:
            text += (
                f"  validation loss {validation['loss']:.4f} accuracy "
                f"{percent(validation['accuracy'])}"
            )
        self.say(f"{text}  {seconds:.1f} s")
        self._last_line = time.monotonic()

    def stopped_early(self, epoch, reason):
        """Print that training ends before its last epoch, and the `reason`, in words."""
        if self._bar:
            self._bar.update(self._task, total=self._bar.tasks[self._task].completed)
        self.say(f"stopped early after epoch {epoch}/{self._epochs}: {reason}")


def print_summary(console, summary, class_names):
    """Print the tables at the end of a run."""
    reported = summary["config"]["reported"]
    checkpoints = [
        (
            name + (" (the result)" if name == summary["selected"] else ""),
            str(result["step"]),
            percent(result["validation"] and result["validation"]["accuracy"]),
            percent(result["test"]["accuracy"]),
        )
        for name, result in summary["checkpoints"].items()
    ]
    columns = ("checkpoint", "step", "validation accuracy", "test accuracy")
    title = f"{summary['config']['model']['name']} on {summary['dataset']}"
    console.print(to_rich(Table(title, columns, checkpoints)))

    per_class = summary["per_class_test_accuracy"]
    classes = [
        (printable(name), percent(accuracy))
        for name, accuracy in zip(class_names, per_class, strict=True)
    ]
    console.print("", to_rich(Table("", ("class", "test accuracy"), classes)), "")

    on_test = summary["config"]["selection"] == "test"
    lines = [
        f"test accuracy  {percent(summary['test_accuracy'])} of {summary['test_images']:,} images"
        + (", the best epoch on these very images" if on_test else ""),
        f"parameters     {summary['params']:,}",
        f"training       {summary['epochs']} epochs, {summary['steps']:,} steps, "
        f"{summary['train_seconds']:.1f} s, {summary['images_per_second']:,.0f} images/s "
        f"(compilation {summary['compile_seconds']:.1f} s not counted)",
        *([f"stopped early  {stopped}"] if (stopped := summary["stopped_early"]) else []),
        f"peak memory    {summary['peak_memory_bytes'] / 2**20:,.0f} MiB",
        f"hardware       {summary['hardware']}",
    ]
    if reported["value"] is not None:
        lines.insert(
            1, f"reported       {reported['value']} ({reported['metric']}; {reported['source']})"
        )
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def next_commands(folder, config, summary):
    """Return the lines that say where to look next."""
    quoted = shlex.quote(str(folder))
    lines = [
        "",
        f"Results:      {folder}/summary.json, {folder}/metrics.jsonl, {folder}/checkpoints",
        f"As a page:    python -m cifar_jax.report {quoted}",
        f"Use it:       python -m cifar_jax.predict --workdir {quoted} PICTURE",
    ]
    if config.tensorboard:
        lines.append(f"Curves:       tensorboard --logdir {quoted}/tensorboard")
    if not summary["stopped_early"]:
        elsewhere = "" if config.schedule.name in rules.OPEN_ENDED else "a new --workdir and "
        lines.append(
            f"More epochs:  the same command with {elsewhere}--config.total_epochs={2 * config.total_epochs}"
        )
    if config.dataset.name == "digits":
        train = "python -m cifar_jax.main --config basic_net --workdir runs/basic_net"
        lines.append(f"CIFAR-10:     {train}")
    lines.append("All fields:   python -m cifar_jax.main --help")
    return program.as_called("\n".join(lines))
