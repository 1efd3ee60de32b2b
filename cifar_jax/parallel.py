"""The mesh: one `data` axis over all devices; state and data set replicated, batches sharded."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cifar_jax.errors import ConfigError


def data_mesh():
    """A mesh of all devices with the one axis `data`."""
    return Mesh(jax.devices(), ("data",))


def replicated(mesh):
    """Sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def put(tree, sharding):
    """A pytree of arrays, the same in every process, onto the devices of a sharding.

    Where those are of several processes, jax.device_put would send everything around to compare it.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put_leaf(leaf):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put_leaf, tree)


def over_runs(mesh):
    """Sharding of arrays whose leading axis is the runs of a sweep, a multiple of the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def batch_sharding(mesh, batch_size):
    """Sharding of a [B] array over the devices; None on a single one.

    Raises:
        ConfigError: the batch does not divide evenly.
    """
    devices = mesh.size
    if batch_size % devices:
        below = batch_size // devices * devices
        near = [str(size) for size in (below, below + devices) if size]
        raise ConfigError(
            f"batch_size={batch_size} does not divide over {devices} devices; nearest: {', '.join(near)}"
        )
    return NamedSharding(mesh, PartitionSpec("data")) if devices > 1 else None
