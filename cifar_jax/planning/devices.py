"""Accelerators by name, described and not there: what their compilers and a plan know of them.

Figures are the makers': Google's pages of Cloud TPU versions (https://cloud.google.com/tpu/docs), NVIDIA's data sheets
of A100, H100, H200 and B200, and of the DGX machines around them. Rates are peaks: of bfloat16 without sparsity, and of
all links of a device, one way: half of what a page calls bidirectional.
"""

import contextlib
import importlib.util
import math
import os
import pathlib
import re
import sys
from typing import NamedTuple

from cifar_jax.errors import ConfigError, UserError, nearest

CARDS = pathlib.Path(__file__).parent / "cards"
GB, GIB = 10**9, 2**30


class Kind(NamedTuple):
    """One kind of device. Bytes, operations and bytes a second, and Hz."""

    platform: str  # "tpu", "cuda" or "cpu"
    memory: float
    flops: float
    bandwidth: float
    link: float
    clock: float | None = (
        None  # of the compiler's cycles; None: it gives none, or no figure is known
    )
    network: float | None = (
        None  # a device's share of the network between machines; None: as `link`
    )


KINDS = {
    "v4": Kind("tpu", 32 * GIB, 275e12, 1228e9, 300e9, 1.05e9),
    "v5e": Kind("tpu", 16 * GB, 197e12, 819e9, 200e9, 1.5e9),
    "v5p": Kind("tpu", 95 * GIB, 459e12, 2765e9, 600e9, 1.75e9),
    "v6e": Kind("tpu", 32 * GB, 918e12, 1640e9, 400e9),
    "tpu7x": Kind("tpu", 192 * GIB, 2307e12, 7380e9, 600e9),
    "a100": Kind("cuda", 80 * GB, 312e12, 2039e9, 300e9, network=25e9),
    "h100": Kind("cuda", 80 * GB, 989e12, 3352e9, 450e9, network=50e9),
    "h200": Kind("cuda", 141 * GB, 989e12, 4800e9, 450e9, network=50e9),
    "b200": Kind("cuda", 180 * GB, 2250e12, 8000e9, 900e9, network=50e9),
}
CARDS_A_MACHINE = 8  # with links between them
EXAMPLES = "v5e:2x2, v6e:4x4, h100:8, cpu:8"
# What a platform's compiler comes in: module, extra of ours.
PACKAGES = {"tpu": ("libtpu", "plan-tpu"), "cuda": ("jax_cuda13_plugin", "plan-cuda")}
LEAST_PYTHON = (3, 12)  # of JAX's releases whose compilers describe devices that are not there


class Devices(NamedTuple):
    """Devices of one kind."""

    name: str  # as it was given
    kind: str
    count: int
    shape: str  # of a TPU's topology

    @property
    def about(self):
        """The Kind; of CPUs None."""
        return KINDS.get(self.kind)


def parse(text):
    """Read devices such as "v5e:2x2,h100:8,cpu:4": a list of Devices.

    Raises:
        ConfigError: an unknown kind, or no number of devices.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"--devices names none; such as {EXAMPLES}")
    return [_parse_one(part) for part in parts]


def _parse_one(text):
    kind, _, shape = text.partition(":")
    if kind != "cpu" and kind not in KINDS:
        raise ConfigError(f"--devices: {text!r} is unknown; {nearest(kind, [*KINDS, 'cpu'])}")
    is_tpu = kind != "cpu" and KINDS[kind].platform == "tpu"
    form = r"[1-9]\d{0,2}(x[1-9]\d{0,2}){0,2}" if is_tpu else r"[1-9]\d{0,3}"
    if not re.fullmatch(form, shape or "1"):
        example = f"{kind}:2x2" if is_tpu else f"{kind}:8"
        raise ConfigError(f"--devices: {text!r} says no number of devices; such as {example}")
    shape = shape or "1"
    if is_tpu and "x" not in shape:
        shape += "x1"
    if kind in ("v4", "v5p", "tpu7x") and shape.count("x") == 1:
        shape += "x1"
    return Devices(text, kind, math.prod(map(int, shape.split("x"))), shape)


def described(devices):
    """Return JAX's devices, which are described and not there; of a CPU the first of this process's virtual ones.

    Raises:
        UserError: the compiler for them is not installed, Python is too old for it, or it knows no such devices.
    """
    import jax

    if devices.kind == "cpu":
        most = max(
            devices.count, int(os.environ.get("JAX_NUM_CPU_DEVICES", 1))
        )  # as cifar_jax.plan sets it
        with contextlib.suppress(RuntimeError):  # JAX computed something before
            jax.config.update("jax_num_cpu_devices", most)
        if (there := jax.device_count("cpu")) < devices.count:
            raise UserError(
                f"{devices.name}: this process has {there} CPU devices; start one with JAX_NUM_CPU_DEVICES="
                f"{devices.count}"
            )
        return jax.devices("cpu")[: devices.count]
    from jax.experimental import topologies

    platform = devices.about.platform
    module, extra = PACKAGES[platform]
    if importlib.util.find_spec(module) is None:
        old = f" (Python 3.12 or newer; this is {sys.version_info.major}.{sys.version_info.minor})"
        raise UserError(
            f"{devices.name} needs its compiler, which no accelerator is needed for: pip install 'cifar-jax[{extra}]'"
            f"{old if sys.version_info < LEAST_PYTHON else ''}"
        )
    try:
        if platform == "tpu":
            return topologies.get_topology_desc(
                platform="tpu", topology_name=f"{devices.kind}:{devices.shape}"
            ).devices
        card = (CARDS / f"{devices.kind}.txt").read_text()
        return topologies.get_topology_desc(
            platform="cuda", topology=f"1x1x{devices.count}", target_config=card
        ).devices
    except Exception as error:  # of a compiler, of many types
        raise UserError(
            f"the compiler of jax {jax.__version__} takes no {devices.name}: {str(error).splitlines()[0][:200]}"
        ) from error
