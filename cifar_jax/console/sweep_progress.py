"""The display of a sweep: one bar over all runs on a terminal, plain lines elsewhere."""

from rich.console import Console

from cifar_jax.console import progress

# Seconds over which the speed is averaged: an interval of many runs takes longer than Rich's half a minute.
PERIOD = 24 * 3600.0


class SweepDisplay:
    """Context manager. Steps are those of a run: an interval of 10 steps of 8 runs is 80."""

    def __init__(self, console=None):
        self.console = console or Console(highlight=False)
        self._bar, self._steps = None, []

    def __enter__(self):
        self._bar = progress.new_bar(self.console, speed_estimate_period=PERIOD)
        if self._bar:
            self._task = self._bar.add_task("compiling", total=None)
            self._bar.start()
        return self

    def __exit__(self, *_):
        if self._bar:
            self._bar.stop()
            self._bar = None

    def say(self, text):
        """Print one line of text."""
        self.console.print(text, markup=False, soft_wrap=True)

    def plan(self, steps):
        """Take the steps of each group, those of all its runs together: a list of int."""
        self._steps = list(steps)
        if self._bar:
            self._bar.update(self._task, total=sum(self._steps))

    def group(self, index, done):
        """Show that a group, from 0, begins; `done`: its steps that an earlier process did, no measure of the speed."""
        self._index, self._before = index, sum(self._steps[:index])
        if self._bar:
            if self._bar.tasks[self._task].completed != self._before + done:
                self._bar.reset(self._task, completed=self._before + done)
            self._bar.update(self._task, description=f"{self._name} compiling")

    def interval(self, done, epoch, epochs):
        """Show how many steps of the group are done, and the epoch, from 1, of how many."""
        if self._bar:
            text = f"{self._name} epoch {epoch}/{epochs}"
            self._bar.update(self._task, completed=self._before + done, description=text)

    def group_ended(self, done):
        """Show that the group has no more steps than are done, where all its runs stopped early."""
        if self._bar and self._steps[self._index] != done:
            self._steps[self._index] = done
            self._bar.update(self._task, total=sum(self._steps))

    @property
    def _name(self):
        return f"group {self._index + 1}/{len(self._steps)}"
