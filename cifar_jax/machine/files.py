"""Files that are written whole or not at all: who reads one, or is killed writing it, finds the old or the new."""

import contextlib
import csv
import errno
import json

from cifar_jax.errors import UserError

# A file system says one of these that has no locks. ENOTSUP is another number on macOS, and none on Windows.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
NO_LOCKS.add(getattr(errno, "ENOTSUP", errno.EOPNOTSUPP))


@contextlib.contextmanager
def replacing(path):
    """Yield a path to write to, of the same suffix, which then takes the place of `path`."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def refusals(path, instead=""):
    """Raise a UserError for what the system refuses within; `instead` is what to do, in words."""
    try:
        yield
    except OSError as error:
        raise UserError(f"can't write {path} ({error.strerror}){instead}") from error


def write_text(path, text):
    """Write text in UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write JSON.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_csv(path, columns, rows):
    """Write dicts as a table with a header line; None is an empty field, other keys are left out."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def locked(path, wait=False):
    """Keep other processes out, by a lock that the system takes back however this process ends.

    The lock is on a second file, `path` with .held behind: Windows lets nobody read a locked one. Where the file
    system has no locks, as some of a network, nobody is kept out.

    Args:
        path: of the file; made where missing, and left there.
        wait: for another process to end, rather than to be refused.
    Yields:
        the file, open to read and to append.
    Raises:
        BlockingIOError: another process has it; what it wrote can be read in `path`.
    """
    import filelock

    held = path.with_name(f"{path.name}.held")
    lock = filelock.FileLock(held, timeout=-1 if wait else 0, fallback_to_soft=False)
    with path.open("a+") as file, contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock)
        except filelock.Timeout as error:
            raise BlockingIOError(f"another process has {path}") from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield file
