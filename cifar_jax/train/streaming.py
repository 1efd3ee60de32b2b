"""Training on images that stay on the host: read ahead by Grain's threads, and on the devices before they are needed.

The order, the augmentation and so the numbers are those of images that live on the device: both are a function of the
run's key and of the step. The pipeline's whole state is the number of the next batch, which is TrainState.step.
"""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax.config import jax_settings
from cifar_jax.machine import compilation
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.train import programs, steps

# Batches on the devices that are not yet asked for: one is copied while one is trained on.
AHEAD = 2


class Rows:
    """Some rows of an array, such as a memory map, read when they are asked for."""

    def __init__(self, array, rows):
        self._array, self._rows = array, rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, places):
        return self._array[self._rows[places]]


def host_data(images, labels, rows=None):
    """Make steps.Data whose images stay where they are: uint8 [N, H, W, C] and int32 [N], or rows of them."""
    rows = np.arange(len(labels)) if rows is None else rows
    return steps.Data(Rows(images, rows), labels[rows], images.shape[1:])


def batches(read, count, threads, start=0):
    """Iterate over read(start), read(start + 1), ... read(count - 1), by Grain.

    Args:
        read: number of a batch -> pytree of arrays; called in threads, ahead of time.
        count: batches in all.
        threads: that read; their work is the operating system's page cache and NumPy's copy.
        start: the first.
    """
    import grain  # its import takes a while, and most runs don't need it

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    iterator = iter(grain.MapDataset.range(count).map(read).to_iter_dataset(options))
    iterator.set_state({"next_index": start})
    return iterator


def ahead(iterator, place, depth=AHEAD):
    """Yield the items of an iterator, each put on the devices `depth` items before it is asked for."""
    waiting = collections.deque()
    for item in iterator:
        waiting.append(place(item))
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting


class Placed:
    """[B, ...] arrays shared out over a mesh, of which this process reads the rows of its own devices."""

    def __init__(self, mesh, batch_size):
        self._sharding, self._size = mesh_lib.over_devices(mesh), batch_size
        spans = self._sharding.addressable_devices_indices_map((batch_size,)).values()
        self.rows = np.unique(np.concatenate([np.arange(batch_size)[span] for span in spans]))

    def __call__(self, batch):
        """Put a pytree of arrays of this process's rows on the devices, [B, ...] over all processes."""
        return jax.tree.map(
            lambda own: jax.make_array_from_process_local_data(
                self._sharding, own, (self._size, *own.shape[1:])
            ),
            batch,
        )


def training_batches(data, key, placed, batch_size, total_steps, threads, start):
    """Yield (images, labels, indices) of the steps from `start` on, as steps.train_step would choose them.

    Args:
        data: of host_data.
        key: TrainState.key.
        placed: Placed of the batch.
    """
    count = len(data.labels)
    per_epoch = count // batch_size

    @functools.lru_cache(maxsize=2)  # threads read beyond the end of an epoch
    def order(epoch):
        with jax_settings.pinned():  # in a thread of Grain's, which has the program's own
            return np.asarray(steps.epoch_order(key, epoch, count))

    def read(step):
        first = step % per_epoch * batch_size
        indices = order(step // per_epoch)[first : first + batch_size][placed.rows]
        return data.images(indices), data.labels[indices], indices

    return ahead(batches(read, total_steps, threads, start), placed)


def evaluation_batches(data, placed, batch_size, threads):
    """Yield (images, labels, mask) of a split, the last batch padded, as steps.eval_step chooses them."""
    count = len(data.labels)

    def read(batch):
        positions = batch * batch_size + placed.rows
        indices = np.minimum(positions, count - 1)
        return data.images(indices), data.labels[indices], positions < count

    return ahead(batches(read, -(-count // batch_size), threads), placed)


def make_programs(recipe, mesh, total_steps, threads):
    """Make programs.Programs whose data is that of host_data; always a loop over one compiled step.

    Args:
        recipe: steps.Recipe, spread over the mesh by jit.
        total_steps: of the run.
        threads: of `batches`.
    """
    whole = mesh_lib.replicated(mesh)
    jit = functools.partial(compilation.jit, out_shardings=whole)
    no_metrics, no_eval_metrics = jit(recipe.no_metrics), jit(recipe.no_eval_metrics)
    size, eval_size = recipe.batch_size, recipe.eval_batch_size
    placed, eval_placed = Placed(mesh, size), Placed(mesh, eval_size)

    @functools.partial(jit, static_argnums=3, donate_argnums=(0, 1))
    def train_step(state, metrics, batch, per_epoch):
        images, labels, indices = batch
        epoch, shape = state.step // per_epoch, images.shape[1:]
        planned = steps.plan_of_batch(recipe, state.key, state.step, epoch, indices, shape)
        return steps.train_on_batch(recipe, state, metrics, images, labels, planned)

    @functools.partial(jit, donate_argnums=1)
    def eval_step(variables, metrics, batch):
        return steps.eval_on_batch(recipe, variables, metrics, *batch)

    feed = None  # (the next step, the iterator)

    def compile_steps(state, data, order, counts):
        of_batch = functools.partial(jax.ShapeDtypeStruct, sharding=mesh_lib.over_devices(mesh))
        numbers = of_batch((size,), jnp.int32)
        batch = of_batch((size, *data.shape), jnp.uint8), numbers, numbers
        train_step.lower(state, no_metrics(), batch, len(data.labels) // size).compile()

    def train_steps(state, data, order, count, sums=None):
        nonlocal feed
        step, metrics = int(state.step), no_metrics() if sums is None else sums
        if feed is None or feed[0] != step:
            key = np.asarray(state.key)
            feed = step, training_batches(data, key, placed, size, total_steps, threads, step)
        for _ in range(count):
            batch = next(feed[1])
            state, metrics = train_step(state, metrics, batch, len(data.labels) // size)
        feed = step + count, feed[1]
        return state, metrics

    def evaluate(variables, data):
        metrics = no_eval_metrics()
        for batch in evaluation_batches(data, eval_placed, eval_size, threads):
            metrics = eval_step(variables, metrics, batch)
        return metrics

    order = jit(steps.epoch_order, static_argnames="count")
    return programs.Programs(compile_steps, train_steps, evaluate, order, any_count=True)
