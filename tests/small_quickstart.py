"""configs/quickstart.py with a net that compiles in a second, for command lines whose point is no model."""

import pathlib
import sys

from configs import quickstart

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import small_net

small_net.registered().__enter__()  # for as long as the process lives


def get_config():
    config = quickstart.get_config()
    config.model.name = small_net.NAME
    return config
