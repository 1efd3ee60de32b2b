"""Files that are written whole or not at all: who reads one, or is killed writing it, finds the old or the new."""

import contextlib
import csv
import fcntl
import json


@contextlib.contextmanager
def replacing(path):
    """A path to write to, of the same suffix, which then takes the place of `path`."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path, text):
    """Writes text in UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Writes JSON.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_csv(path, columns, rows):
    """Writes dicts as a table with a header line; None is an empty field, other keys are left out."""
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def locked(path, wait=False):
    """Keeps other processes out, by a lock on a file that the kernel takes back however this process ends.

    Where the file system has no locks, as some of a network, nobody is kept out.

    Args:
        path: of the file; made where missing, and left there.
        wait: for another process to end, rather than to be refused.
    Yields:
        the file, open to read and to append.
    Raises:
        BlockingIOError: another process has it; what it wrote can be read in `path`.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield file
