"""The folder of a user's caches, also without a home.

A container's user often has neither HOME nor an entry in passwd, or `/` for a home, and on some clusters the home can't
be written.
"""

import contextlib
import functools
import os
import pathlib
import stat
import sys
import tempfile

from cifar_jax.errors import UserError

_user = getattr(os, "geteuid", int)  # Windows has no number of a user


def folder():
    """Return the user's home; None where nothing tells it."""
    try:
        return pathlib.Path.home()
    except RuntimeError:
        return None


def usual(variable, name):
    """Return the folder that a variable names, else that of this name in the home; None without a home."""
    if given := os.environ.get(variable):
        return pathlib.Path(given)
    return folder() and folder() / name


def caches():
    """Return the folder of the user's caches: the usual one, or `private` where that can't be written.

    Raises:
        UserError: as of `private`.
    """
    wanted = usual("XDG_CACHE_HOME", ".cache")
    if wanted is None:
        return private("this user has no home folder")
    return wanted if writable(wanted) else private(f"{wanted} can't be written")


def settle():
    """Tell the libraries and children of a command's process where caches go, where the usual places are none.

    Matplotlib by itself would make a folder anew each time, in two lines, or end the process.

    Raises:
        UserError: as of `caches`.
    """
    chosen = caches()
    named = os.environ.get("MPLCONFIGDIR")
    configs = pathlib.Path(named) if named else usual("XDG_CONFIG_HOME", ".config")
    if chosen != usual("XDG_CACHE_HOME", ".cache"):
        os.environ["XDG_CACHE_HOME"] = str(chosen)
    if configs is None or not writable(configs):
        os.environ["MPLCONFIGDIR"] = str(chosen / "matplotlib")
    kept = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    if kept and "://" not in kept and not writable(pathlib.Path(kept)):
        # JAX would warn of every program that it can't keep, or not even look for.
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1e9"
        if not os.access(kept, os.R_OK | os.X_OK):
            os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    # TensorFlow, which writes TensorBoard's events, brings Keras, which makes a folder in the home or in /tmp.
    os.environ.setdefault("KERAS_HOME", str(chosen / "cifar_jax" / "keras"))


@contextlib.contextmanager
def lent():
    """Set HOME to a folder within, for a library that asks for the home when it is imported and does not need it."""
    if folder() is not None:
        yield
        return
    os.environ["HOME"] = str(caches())
    try:
        yield
    finally:
        del os.environ["HOME"]


@functools.cache
def private(why):
    """Make a temporary folder of the user's own, the same for all his processes if nobody else has taken its name.

    Args:
        why: the usual place is none, for the line that says so.
    Raises:
        UserError: no folder for temporary files can be written.
    """
    try:
        chosen = pathlib.Path(tempfile.gettempdir()) / f"cifar_jax_{_user()}"
        with contextlib.suppress(FileExistsError):
            chosen.mkdir(mode=0o700)
        if not is_own(chosen):  # what is loaded from a cache is run
            chosen = pathlib.Path(tempfile.mkdtemp(prefix="cifar_jax_"))
    except OSError as error:
        raise UserError(
            f"{why}, and there is no folder for temporary files ({error.strerror}); name a folder for caches with "
            "XDG_CACHE_HOME"
        ) from error
    print(f"{why}: caches are in {chosen} (XDG_CACHE_HOME names another place)", file=sys.stderr)
    return chosen


def is_own(path):
    """Tell whether this is a folder of the user's, no link to one, and closed to everybody else."""
    status = path.lstat()
    closed = not stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == _user() and closed


def writable(path):
    """Tell whether files can be made in a folder, or it can be made where it does not exist."""
    # Not Path.exists, which raises in a folder that is closed to this user.
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    if not os.path.isdir(path) or not os.access(path, os.W_OK | os.X_OK):
        return False
    try:  # root has every permission, also where nothing can be made
        tempfile.TemporaryFile(dir=path).close()
    except OSError:
        return False
    return True
