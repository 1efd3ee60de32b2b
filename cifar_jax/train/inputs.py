"""A run's data and its file of weights: what is gone is not asked for again where the run goes on."""

import os

from cifar_jax import config as config_lib
from cifar_jax import data, models
from cifar_jax.errors import UserError
from cifar_jax.models import weight_files
from cifar_jax.runs import workdir


def load_data(config, before):
    """Load the data set of a config. A run that goes on needs no archive, nor its folder of pictures as it was.

    Args:
        config: checked ConfigDict.
        before: of workdir.recorded.
    Returns:
        data.Dataset.
    Raises:
        DataError: as of data.load.
        ConfigError: the model does not take images of this size.
    """
    where, known = config.dataset, ""
    models.check_images(config.model.name, (where.image_size, where.image_size, 3))
    gone = where.archive and not os.path.exists(os.path.expanduser(where.archive))
    if gone or where.name == "folder":
        known = str(before.get("dataset_fingerprint", ""))
    return data.of_config(where, print, known)


def weights_of(configs, before):
    """Digest the files of weights that runs begin with.

    A file that is gone is not asked for again: its content is that with which the run there began.

    Args:
        configs: list of checked ConfigDict.
        before: of workdir.recorded.
    Returns:
        {file: SHA-256}, without what is gone and was not there.
    Raises:
        UserError: as of weight_files.digest.
    """
    names = dict.fromkeys(config.model.weights for config in configs if config.model.weights)
    digests = {
        name: weight_files.digest(name) or workdir.digests_of_weights(before).get(name)
        for name in names
    }
    return {name: digest for name, digest in digests.items() if digest}


def goes_on_without(name, before):
    """Return whether a file of weights is gone with which the run there began, whose checkpoints are enough.

    Args:
        name: of the file; "" for none.
        before: of workdir.recorded.
    """
    config = before.get("config")
    config = config_lib.flatten(config) if isinstance(config, dict) else {}
    return weight_files.is_gone(name) and config.get("model.weights") == name


def needs_weights(folder, name):
    """Make the UserError of a run that can't go on without its file of weights."""
    return UserError(f"no file of weights {name}, and {folder} has no checkpoint to go on from")
