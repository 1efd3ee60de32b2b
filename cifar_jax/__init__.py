"""Trains and explains small image classifiers with JAX."""

import importlib

__version__ = "0.2.0"


def lazy_face(package, **modules):
    """Return a package's `__getattr__`, which imports a module, or a name from one, when it is asked for.

    So a room's light modules can be had without JAX, as a command's --help needs them.

    Args:
        package: `__name__` of the package.
        modules: module of the package -> names, with blanks between. One with a dot is of another package.
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def imported(module):
        return importlib.import_module(module if "." in module else f"{package}.{module}")

    def __getattr__(name):
        if name in modules:
            return imported(name)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(imported(homes[name]), name)

    return __getattr__
