"""How this program was called, and so is called again: `python -m cifar_jax.evaluate`, or `cifar-jax evaluate`."""

import re

SCRIPT = "cifar-jax"
_by_script = False


def called_by_script():
    """Note that the program was called by the name of SCRIPT."""
    global _by_script
    _by_script = True


def as_called(text):
    """Write the command lines in a text as this program was called."""
    if not _by_script:
        return text
    return re.sub(r"python\s+-m\s+cifar_jax\.(?:\w+\.)*(\w+)", rf"{SCRIPT} \1", text)
