"""A progress bar in a notebook: one output that is written anew, without widgets."""

import html
import sys
import time

LEAST = 0.25  # seconds between two writings


def in_notebook():
    """Return whether this is the kernel of a notebook, whose outputs can be written anew."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Shown:
    """What a notebook shows: a bar, or a line of text where it shows no HTML."""

    def __init__(self, done, total, text):
        self._done, self._total, self._text = done, total, text

    def __repr__(self):
        return f"{self._text}  {self._done}/{self._total} steps"

    def _repr_html_(self):
        bar = f'<progress value="{self._done}" max="{self._total}"></progress>'
        return f"{bar} {html.escape(self._text)} &nbsp; {self._done}/{self._total} steps"


class NotebookBar:
    """As much of rich.progress.Progress, with one task, as the displays of this room use."""

    def __init__(self):
        self.completed, self._total, self._text = 0, None, ""
        self._handle, self._written = None, 0.0

    @property
    def tasks(self):
        return [self]

    def add_task(self, description, total):
        self._text, self._total = description, total
        return 0

    def start(self):
        from IPython.display import display

        self._handle = display(self._now(), display_id=True)

    def stop(self):
        self._write()

    def update(self, task, completed=None, description=None, total=None):
        self.completed = self.completed if completed is None else completed
        self._text, self._total = description or self._text, total or self._total
        if time.monotonic() - self._written >= LEAST:
            self._write()

    def reset(self, task, completed):
        self.update(task, completed)

    def _now(self):
        return _Shown(self.completed, self._total or 0, self._text)

    def _write(self):
        self._written = time.monotonic()
        if self._handle:
            self._handle.update(self._now())
