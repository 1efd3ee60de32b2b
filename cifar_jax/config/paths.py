"""Paths of this machine: any name that its file systems take is taken, and URLs are refused at the door."""

import os
import re

from cifar_jax.errors import UserError

# `gs://bucket`, and what pathlib makes of it, `gs:/bucket`; not `FILE:VARIANT` of a config.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(/|$)")


def local(path):
    """Return the path as it was given.

    Raises:
        UserError: it is a URL, of which pathlib would make a folder of this machine.
    """
    text = os.fspath(path)
    if _SCHEME.match(text):
        raise UserError(
            f"{text[:200]} is a URL, but files and folders are those of this machine: copy or mount what is there and "
            "give its path (a folder that is called so has ./ in front)"
        )
    return path
