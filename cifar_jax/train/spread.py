"""A training step spread over the devices of a mesh: state replicated, batches shared out."""

import contextlib
import dataclasses
import functools
import inspect

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cifar_jax.errors import ConfigError
from cifar_jax.machine.mesh import AXIS, over_devices
from cifar_jax.models.ops import choice
from cifar_jax.train.gradients import Gradients


@dataclasses.dataclass(frozen=True)
class Spread:
    """How a training step is spread over the devices.

    By default the step is written for the whole batch, and XLA's partitioner shares it out. Where it is not, under
    `pmap` and for batch statistics of each device, its parts are written for one device's share of the batch.
    """

    mesh: Mesh | None = None  # None: one device
    backend: str = "jit"
    batch_norm: str = "global"

    @property
    def devices(self):
        return self.mesh.size if self.mesh else 1

    @property
    def _by_shares(self):
        """Whether a step's parts are written for one device's share."""
        return self.devices > 1 and (self.backend == "pmap" or self.batch_norm == "per_device")

    def tracing(self):
        """Return the context manager to trace the model in."""
        if self._by_shares:
            return contextlib.nullcontext()
        return choice.spread_over(self.mesh if self.devices > 1 else None)

    def constrain(self, array):
        """Share out over the devices a [B, ...] array of a program that is written for the whole batch."""
        if self.devices == 1:
            return array
        return lax.with_sharding_constraint(array, over_devices(self.mesh))

    def local_shard(self, array):
        """Take what a training step works on of a [B, ...] array: under pmap a device's share, else all of it."""
        if self.devices == 1 or self.backend == "jit":
            return self.constrain(array)
        share = array.shape[0] // self.devices
        return lax.dynamic_slice_in_dim(array, lax.axis_index(AXIS) * share, share)

    def all_gather(self, array):
        """Gather the [B, ...] array of which this program has what `local_shard` gives."""
        if self.devices == 1 or self.backend == "jit":
            return array
        return lax.all_gather(array, AXIS, tiled=True)

    def gradients(self, function):
        """Make a function of gradients.py for the whole batch, out of one for a device's share of the batch."""
        if not self._by_shares:
            return function
        synchronized = self.batch_norm == "global"

        def of_a_share(params, batch_stats, images, targets, key):
            # Dropout differs from device to device.
            key = jax.random.fold_in(key, lax.axis_index(AXIS))
            with choice.statistics_over(AXIS) if synchronized else contextlib.nullcontext():
                loss, logits, *rest = function(params, batch_stats, images, targets, key)
            loss, *rest = lax.pmean((loss, *rest), AXIS)
            return Gradients(loss, logits, *rest)

        if self.backend == "pmap":
            return of_a_share
        whole, share = PartitionSpec(), PartitionSpec(AXIS)
        return jax.shard_map(
            of_a_share,
            mesh=self.mesh,
            in_specs=(whole, whole, share, share, whole),
            out_specs=Gradients(whole, share, whole, whole),
            check_vma=False,  # its means are written out, and nothing is differentiated through it
        )


def pmap(mesh, function, static_argnums=(), donate_argnums=()):
    """Map, by jax.pmap, a function whose arguments and results every device has whole; to be called as jax.jit's.

    Args:
        mesh: of `data_mesh`.
        function: without default arguments.
        static_argnums, donate_argnums: tuples, as of jax.jit.
    """
    arguments = len(inspect.signature(function).parameters)
    mapped = jax.pmap(
        lambda _, *given: function(*given),
        AXIS,
        in_axes=(0,) + (None,) * arguments,  # pmap needs one that differs from device to device
        out_axes=None,
        devices=list(mesh.devices.flat),
        static_broadcasted_argnums=tuple(n + 1 for n in static_argnums),
        donate_argnums=tuple(n + 1 for n in donate_argnums),
    )
    number = jax.device_put(np.arange(mesh.size), over_devices(mesh))
    called = functools.partial(mapped, number)
    called.lower = functools.partial(mapped.lower, number)
    return called


def check_batch(config, devices):
    """Refuse a batch that does not divide evenly over the devices and into the parts of accumulate_steps.

    Raises:
        ConfigError: naming the nearest sizes that do.
    """
    size, parts = config.batch_size, config.accumulate_steps
    unit = devices * parts
    if size % unit == 0:
        return
    over = [f"over {devices} devices"] * (devices > 1) + [f"into {parts} parts"] * (parts > 1)
    below = size // unit * unit
    near = ", ".join(str(each) for each in (below, below + unit) if each)
    raise ConfigError(f"batch_size={size} does not divide {' and '.join(over)}; nearest: {near}")
