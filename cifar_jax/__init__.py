"""Trains and explains small image classifiers with JAX."""

import ast
import importlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any

__version__ = "0.2.0"


def lazy_face(package: str) -> Callable[[str], Any]:
    """Return a package's `__getattr__`, which imports what its stub, `__init__.pyi`, imports, when it is asked for.

    So a room's light modules can be had without JAX, as a command's --help needs them, and type checkers see the rest.

    Args:
        package: `__name__` of the package.
    """
    stub = pathlib.Path(sys.modules[package].__file__ or "").with_suffix(".pyi")
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module or "" for node in imports for alias in node.names}
    modules = set(homes.values())

    def __getattr__(name: str) -> Any:
        if f"{package}.{name}" in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return __getattr__
