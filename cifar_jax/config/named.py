"""The configs that come with the package, by name: `quickstart`, `wide_net`; a sweep's `quickstart`, `big_net`."""

import pathlib

from cifar_jax.errors import ConfigError, nearest

_PACKAGE = pathlib.Path(__file__).parents[1]
# An installed package has them inside, a checkout beside it.
FOLDER = next(
    (each for each in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if each.is_dir()),
    _PACKAGE / "configs",
)
SWEEPS = "sweeps"


def names(folder=""):
    """List the names of the configs, such as "wide_net"; with SWEEPS those of the sweeps."""
    return sorted(each.stem for each in (FOLDER / folder).glob("*.py"))


def find(given, sweep=False):
    """Return the path of a config file that is there, else of the package's of that name.

    Args:
        given: str, a path or a name, without a variant.
        sweep: whether a sweep is meant by a name; else "sweeps/NAME" names one.
    Raises:
        ConfigError: neither; with the nearest name.
    """
    if pathlib.Path(given).is_file():
        return given
    sweeps = names(SWEEPS)
    known = sweeps if sweep else [*names(), *(f"{SWEEPS}/{each}" for each in sweeps)]
    if given not in known:
        near = nearest(pathlib.PurePath(given).stem, known)
        raise ConfigError(f"no config file {given}, and no config of that name; {near}")
    return str(FOLDER / (SWEEPS if sweep else "") / f"{given}.py")
