"""The mesh: one `data` axis over all devices, and what lies on it whole or shared out."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"


def data_mesh():
    """Make a mesh of all devices with the one axis `data`."""
    return Mesh(jax.devices(), (AXIS,))


def replicated(mesh):
    """Return the sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def put(tree, sharding):
    """Put a pytree of arrays, the same in every process, onto the devices of a sharding.

    Where the devices are of several processes, jax.device_put would send everything around to compare it.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put_leaf(leaf):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put_leaf, tree)


def on_host(tree):
    """Return a pytree of arrays as NumPy arrays, whole in every process, also where parts are on others' devices."""

    def whole(leaf):
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(whole, tree)


def over_devices(mesh):
    """Return the sharding of arrays whose leading axis is a multiple of the devices: images, or the runs of a sweep."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def padded(array, mesh):
    """Pad a [N, ...] array with zeros behind, up to a multiple of the devices."""
    return np.pad(array, [(0, -len(array) % mesh.size)] + [(0, 0)] * (array.ndim - 1))
