"""Where metrics go: metrics.jsonl, and TensorBoard events through CLU's writers.

TensorFlow writes the events. It is imported in the writer's own thread, so that training neither
waits for it nor fails with it.
"""

import json
import pathlib
import queue
import threading


class JsonLines:
    """Appends one JSON object a line: {"step": ..., "split": ..., "loss": ...}."""

    def __init__(self, path, resume_step):
        """Opens the file and drops what a stopped run wrote past `resume_step`, to be done again."""
        self._path = pathlib.Path(path)
        rows = _read_rows(self._path)
        kept = [row for row in rows if row["step"] <= resume_step and row["split"] != "test"]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept))
        partial.replace(self._path)
        self._file = self._path.open("a")

    def write(self, row):
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self):
        self._file.close()


def _read_rows(path):
    """Rows of a metrics.jsonl; a last line cut short by a kill is no row."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and {"step", "split"} <= row.keys():
            rows.append(row)
    return rows


class TensorBoard:
    """CLU's SummaryWriter behind a queue and a thread; `say` gets one line if events can't be written.

    Calls are named as CLU's: write_scalars, write_images, write_texts, write_hparams.
    """

    def __init__(self, folder, say):
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(str(folder), say), daemon=True)
        self._thread.start()

    def __getattr__(self, name):
        if not name.startswith("write_"):
            raise AttributeError(name)
        return lambda *args: self._queue.put((name, args))

    def close(self):
        """Writes what is queued and ends."""
        self._queue.put(None)
        self._thread.join()

    def _work(self, folder, say):
        try:
            writer = _summary_writer(folder)
            while (call := self._queue.get()) is not None:
                getattr(writer, call[0])(*call[1])
                writer.flush()
            writer.close()
        except ImportError as error:
            say(f"no TensorBoard events: {error} (metrics.jsonl holds the same figures)")
        except Exception as error:  # training goes on without events, whatever TensorFlow raises
            reason = str(error).splitlines()[0]
            say(
                f"no TensorBoard events in {folder}: {reason} (metrics.jsonl holds the same figures)"
            )


def _summary_writer(folder):
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # TensorFlow takes all of its memory otherwise
    from clu.metric_writers import SummaryWriter

    return SummaryWriter(folder)


class NoTensorBoard:
    """Stands in for TensorBoard where config.tensorboard is off."""

    def __getattr__(self, name):
        return lambda *args: None
