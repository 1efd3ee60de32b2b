"""Names of the registries in the rooms above, read from their source: `--help` and a config's check need no JAX."""

import ast
import functools
import pathlib

ROOMS = pathlib.Path(__file__).parents[1]


@functools.cache
def names(file, registry, having=""):
    """Return the keys of a registry, in order.

    Args:
        file: below cifar_jax/, such as "train/losses.py".
        registry: name of the dictionary that is written out there.
        having: only keys whose entry is a call with this keyword.
    """
    for node in ast.parse((ROOMS / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == registry:
            entries = zip(node.value.keys, node.value.values, strict=True)
            return tuple(key.value for key, entry in entries if not having or _has(entry, having))
    raise KeyError(registry)


def _has(entry, keyword):
    return isinstance(entry, ast.Call) and keyword in [each.arg for each in entry.keywords]
