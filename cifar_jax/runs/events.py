"""Writes TensorBoard events with CLU's SummaryWriter, in a process of its own:

python -m cifar_jax.runs.events FOLDER STEP

CLU writes events with TensorFlow, which takes seconds to import, half a GiB, and any GPU that it
sees. So `writers.TensorBoard` starts this program and sends it pickled calls, (name, arguments), on
standard input. It ends when that ends; what goes wrong is one line on standard output.

The folder may hold events of a run that was killed and goes on from STEP: what it wrote later than that will be
written again, so it is dropped first.
"""

import contextlib
import pathlib
import pickle
import signal
import sys

from cifar_jax.errors import one_line
from cifar_jax.machine import files


def main(folder, step, calls):
    # Ctrl-C and a cluster's SIGTERM are for the training, which ends this program when it has saved.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    try:
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # The killed run's own program may still be writing what it was sent.
        with files.locked(folder / ".lock", wait=True):
            drop_events_after(folder, step)
            write_events(folder, calls)
    except Exception as error:  # whatever TensorFlow raises: training goes on without events
        print(one_line(error))


def write_events(folder, calls):
    """Make the calls until there are no more."""
    from clu.metric_writers import SummaryWriter

    writer = SummaryWriter(str(folder))
    while True:
        try:
            name, arguments = pickle.load(calls)
        except EOFError:
            break
        getattr(writer, name)(*arguments)
        writer.flush()
    writer.close()


def drop_events_after(folder, step):
    """Leave of the event files in a folder what a run that goes on from `step` will not write again.

    Nothing is left where the run starts anew, else all up to that step but the final evaluation.
    """
    paths = sorted(folder.glob("events.out.tfevents.*"))
    if not step:
        for path in paths:
            path.unlink()
        return
    for path in paths:
        records = read_records(path)
        kept = [record for record in records if stays(record, step)]
        if len(kept) < len(records):
            write_records(folder / ".partial", kept)
            (folder / ".partial").replace(path)


def stays(record, step):
    """Return whether an event is from before `step`, or of that step and not of the final evaluation."""
    from tensorflow.compat.v1 import Event

    event = Event.FromString(record)
    return event.step <= step and not any(v.tag.startswith("test/") for v in event.summary.value)


def read_records(path):
    """Read the records of an event file, bytes; one cut short by a kill is none."""
    from tensorflow import errors
    from tensorflow.compat.v1.io import tf_record_iterator

    records = []
    with contextlib.suppress(errors.DataLossError):
        for record in tf_record_iterator(str(path)):
            records.append(record)
    return records


def write_records(path, records):
    from tensorflow.io import TFRecordWriter

    with TFRecordWriter(str(path)) as file:
        for record in records:
            file.write(record)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.stdin.buffer)
