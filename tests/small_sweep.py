"""configs/sweeps/quickstart.py with the net of small_quickstart.py."""

import pathlib
import sys

from configs.sweeps import quickstart

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import small_net
import small_quickstart  # noqa: F401  registers the net


def get_sweep():
    sweep = quickstart.get_sweep()
    sweep.base.model.name = small_net.NAME
    return sweep
