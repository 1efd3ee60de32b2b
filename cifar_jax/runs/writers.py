"""Where metrics go: metrics.jsonl, and TensorBoard events through CLU's writers."""

import contextlib
import json
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading

from cifar_jax.machine import files


class JsonLines:
    """Appends one JSON object a line: {"step": ..., "split": ..., "loss": ...}."""

    def __init__(self, path, resume_step):
        """Open the file and drop what a stopped run wrote past `resume_step`, to be done again.

        `rows` are those that were kept.
        """
        self._path = pathlib.Path(path)
        rows = read_rows(self._path)
        self.rows = [row for row in rows if row["step"] <= resume_step and row["split"] != "test"]
        files.write_text(self._path, "".join(json.dumps(row) + "\n" for row in self.rows))
        self._file = self._path.open("a")

    def write(self, row):
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()

    def close(self):
        self._file.close()


def read_rows(path):
    """Read the rows of a metrics.jsonl, dicts; a line cut short by a kill is no row, a missing file has none."""
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int) and "split" in row:
            rows.append(row)
    return rows


class TensorBoard:
    """CLU's SummaryWriter, run by `cifar_jax.runs.events` behind a queue.

    Calls are named as CLU's: write_scalars, write_images, write_texts, write_hparams. None of them
    waits. Where events can't be written, `say` gets one line and training goes on. Events of a stopped
    run past `resume_step`, to be done again, are dropped.
    """

    def __init__(self, folder, say, resume_step=0):
        self._arguments, self._say = (str(folder), str(resume_step)), say
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def __getattr__(self, name):
        if not name.startswith("write_"):
            raise AttributeError(name)
        return lambda *arguments: self._queue.put((name, arguments))

    def close(self):
        """Write what is queued and end."""
        self._queue.put(None)
        self._thread.join()

    def _send(self):
        try:
            reason = self._write_until_closed()
        except OSError as error:
            reason = str(error)
        if reason:
            self._say(f"no TensorBoard events: {reason} (metrics.jsonl holds the same figures)")

    def _write_until_closed(self):
        """Feed the other process; return what it had to say, "" where all went well."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cifar_jax.runs.events", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # TensorFlow's greetings would cut into the progress bar
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
        alive = True
        while (call := self._queue.get()) is not None:
            if alive:  # else the queue is emptied all the same, or it would grow with the run
                try:
                    pickle.dump(call, process.stdin)
                    process.stdin.flush()
                except BrokenPipeError:  # it ended early: its output says why
                    alive = False
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        reason = process.stdout.read().decode().strip()
        if process.wait() and not reason:
            return f"its process ended with exit code {process.returncode}"
        return reason


class Nowhere:
    """Stands in for JsonLines and TensorBoard where nothing is to be written."""

    def __getattr__(self, name):
        return lambda *args: None
