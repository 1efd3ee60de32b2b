"""Models, optimizers, schedules, losses, augmentations and data sets of a user's own, beside ours.

A plugin is a Python file or a module that registers them where it is imported:

    from cifar_jax import models

    @models.register("small")
    class Small(nn.Module): ...

It is imported by a command's --plugin, by `load`, as an entry point of an installed package (group `cifar_jax.plugins`)
where a name is asked for that is not ours, or by the program itself. A run notes which plugins it had; nothing is
imported because a workdir names it.
"""

import contextlib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from cifar_jax.errors import ConfigError, UserError, one_line, users_code

Made = TypeVar("Made", bound=Callable[..., Any])  # what a decorator takes and gives back

GROUP = "cifar_jax.plugins"
PACKAGE = "package "  # before the name of an installed one
# Field of a config -> what its value names.
KINDS = {
    "model.name": "model",
    "dataset.name": "data set",
    "augment.policy": "augmentation",
    "loss.name": "loss",
    "optimizer.name": "optimizer",
    "schedule.name": "schedule",
}
_added: dict[tuple[str, str], str] = {}  # (kind, name) -> the plugin, as it was given
_importing: list[str] = []  # plugins, the innermost last
_digests: dict[str, str] = {}  # of files: plugin -> SHA-256


def add(kind, registry, name, entry, made):
    """Put an entry into a registry. A plugin may replace its own, as a notebook's cell does that is run again.

    Args:
        kind: of KINDS.
        registry: dict.
        name: letters, digits, `_`, `-`, `+` and `.`.
        entry: of the registry.
        made: the user's class or function; its module is named where no plugin is being imported.
    Raises:
        ConfigError: the name is one of ours or of another plugin's, or has other letters; `made` can't be called.
    """
    if not callable(made):
        raise ConfigError(
            f"{kind} {name!r}: {type(made).__name__} can't be called; register a class or a function"
        )
    while isinstance(made, functools.partial):
        made = made.func
    source = _importing[-1] if _importing else getattr(made, "__module__", None) or ""
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_][\w.+-]*", name)):
        raise ConfigError(f"{name!r} is no name of a {kind}: letters, digits and _ - + . are")
    if name in registry and (kind, name) not in _added:
        raise ConfigError(f"there is a {kind} {name!r} already: register yours by another name")
    other = _added.get((kind, name), source)
    if os.path.realpath(other) != os.path.realpath(source):  # a file may be called by several paths
        raise ConfigError(
            f"the {kind} {name!r} is registered by {other} and by {source}: rename one"
        )
    registry[name] = entry
    _added[kind, name] = source


def registering(
    kind: str,
    registry: dict[str, Any],
    name: str,
    entry_of: Callable[[Any], Any] = lambda made: made,
) -> Callable[[Made], Made]:
    """Make a decorator that adds a user's class or function, as `entry_of` has it, to a registry; see `add`."""

    def decorate(made: Made) -> Made:
        add(kind, registry, name, entry_of(made), made)
        return made

    return decorate


def find(kind, registry, name):
    """Return the entry of that name, which an installed package may bring; None where there is none."""
    if name not in registry and (kind, name) not in _added:
        load_installed()
    return registry.get(name)


def has(kind, name):
    """Return whether a plugin, or an installed package, has added that name."""
    if (kind, name) not in _added:
        load_installed()
    return (kind, name) in _added


def names(field):
    """List what plugins have added to the values of a field, such as "loss.name"."""
    return [name for kind, name in _added if kind == KINDS.get(field)]


def load(plugin: str | os.PathLike[str]) -> None:
    """Import a plugin: the path of a Python file, or a module's name. Again only where the file was changed since.

    Raises:
        UserError: there is none, or it raises something; in one line.
    """
    plugin = os.fspath(plugin)
    path = pathlib.Path(plugin).expanduser()
    if path.suffix != ".py" and not path.is_file():
        _load_module(plugin)
    elif path.is_file():
        _load_file(plugin, path.resolve(), path.read_bytes())
    else:
        raise UserError(f"no plugin {plugin}: give a Python file, or a module's name")


def _load_module(name):
    with importing(name):
        try:
            present = importlib.util.find_spec(name) is not None  # imports the packages around it
        except ModuleNotFoundError as error:
            if not (error.name and f"{name}.".startswith(f"{error.name}.")):
                raise
            present = False
        except ValueError:  # "a..b"
            present = False
        if not present:
            raise UserError(f"no plugin {name}: there is neither such a file nor such a module")
        importlib.import_module(name)


class _Given(importlib.machinery.SourceFileLoader):
    """Loads a file's content that was read before.

    What Python keeps of a file is taken for its compiled form where time and size agree, and two contents of one second
    and one size do.
    """

    def __init__(self, name, path, content):
        super().__init__(name, path)
        self._content = content

    def get_code(self, name):
        return self.source_to_code(self._content, self.path)


@functools.cache
def _load_file(plugin, path, content):
    _digests[plugin] = hashlib.sha256(content).hexdigest()
    if path.suffix != ".py":
        raise UserError(f"the plugin {plugin} is no Python file: its name ends with .py")
    # A module of its own: a file may be called as a package that is installed.
    name = f"cifar_jax_plugin_{path.stem}_{len(sys.modules)}"
    loader = _Given(name, str(path), content)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with importing(plugin):
            loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


@functools.cache
def load_installed():
    """Import the plugins of installed packages, once.

    Raises:
        UserError: one can't be imported.
    """
    for point in importlib.metadata.entry_points(group=GROUP):
        with importing(f"{PACKAGE}{point.dist.name}"):
            point.load()


@contextlib.contextmanager
def importing(plugin):
    """Note what is registered inside as the plugin's; what it raises becomes UserError."""
    _importing.append(plugin)
    try:
        with users_code(plugin):
            yield
    finally:
        _importing.pop()


def of_config(flat):
    """Return what a config takes from plugins: {field: {"plugin": as it was given, "sha256": of a file, else ""}}.

    Args:
        flat: {"model.name": value, ...}.
    """
    added = {field: _added.get((kind, str(flat.get(field)))) for field, kind in KINDS.items()}
    return {
        field: {"plugin": plugin, "sha256": _digests.get(plugin, "")}
        for field, plugin in added.items()
        if plugin is not None
    }


def require(folder, noted, flat, fields=tuple(KINDS)):
    """Raise UserError where a run needs a plugin that this process has not imported; say where it has another content.

    Args:
        folder: of the run, for the message.
        noted: of `of_config`, as the run noted it; of any type where the file is not ours.
        flat: its config.
        fields: that are needed.
    """
    now = of_config(flat)
    for field in fields:
        each = noted.get(field) if isinstance(noted, dict) else None
        plugin = each.get("plugin") if isinstance(each, dict) else None
        if not isinstance(plugin, str):
            continue
        plugin, kind, name = one_line(plugin, 200), KINDS[field], str(flat.get(field))
        if not has(kind, name):
            todo = f"--plugin {plugin} has"
            if plugin in ("", "__main__"):
                todo = "the program that trained it registers"
            elif plugin.startswith(PACKAGE):
                todo = f"the {plugin} registers: install it"
            raise UserError(f"{folder} needs the {kind} {name!r}, which {todo}")
        here = now.get(field, {}).get("sha256")
        if here and each.get("sha256") and here != each["sha256"]:
            said = f"note: {folder} had the {kind} {name!r} of another file than this {now[field]['plugin']}"
            print(one_line(said, 400), file=sys.stderr)
