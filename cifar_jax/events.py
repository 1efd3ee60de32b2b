"""Writes TensorBoard events with CLU's SummaryWriter, in a process of its own: python -m cifar_jax.events FOLDER

CLU writes events with TensorFlow, which takes seconds to import, half a GiB, and any GPU that it
sees. So `writers.TensorBoard` starts this program and sends it pickled calls, (name, arguments), on
standard input. It ends when that ends; what goes wrong is one line on standard output.
"""

import pickle
import signal
import sys


def main(folder, calls):
    # Ctrl-C and a cluster's SIGTERM are for the training, which ends this program when it has saved.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    try:
        from clu.metric_writers import SummaryWriter

        writer = SummaryWriter(folder)
        while True:
            try:
                name, arguments = pickle.load(calls)
            except EOFError:
                break
            getattr(writer, name)(*arguments)
            writer.flush()
        writer.close()
    except Exception as error:  # whatever TensorFlow raises: training goes on without events
        print(" ".join(str(error).split()) or type(error).__name__)


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.buffer)
