"""Many epochs: nothing is compiled after the first, nothing piles up in memory, files grow by so much an epoch.

CIFAR_JAX_EPOCHS=200 pytest -s tests/test_long_runs.py      as long as a real run; measures memory, too
"""

import gc
import io
import os
import resource
import threading

import jax
import numpy as np
import pytest
from rich.console import Console

from cifar_jax import train
from cifar_jax.train import loop

EPOCHS = int(os.environ.get("CIFAR_JAX_EPOCHS", 8))
SETTLED = 4  # epochs, after which all that is needed is there
# Objects an epoch: with each checkpoint Orbax asks for TensorStore's metrics, whose binding never frees its lists.
ORBAX_KEEPS = 40
MOST_BYTES = 250_000  # of resident memory an epoch
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations():
    """A list that each compilation adds to."""
    durations = []

    def listen(event, seconds, **_):
        if event == COMPILED:
            durations.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield durations
    jax.monitoring.unregister_event_duration_listener(listen)


def held(manager):
    """What the process holds between two epochs: {what: how many}."""
    manager.wait_until_finished()
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * resource.getpagesize()
    return {
        "arrays": len(jax.live_arrays()),
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
        "bytes": resident,
    }


def long_run(config, folder, monkeypatch, compilations):
    """Trains; returns (compilations so far, what is `held`) at the end of each epoch."""
    config.total_epochs, config.batch_size, config.log_every_steps = EPOCHS, 512, 1
    config.dataset.validation_fraction = 0.5  # then an epoch is one step
    counts, end_epoch = [], loop.RunTraining.end_epoch

    def measured(*arguments):
        ended = end_epoch(*arguments)
        counts.append((len(compilations), held(arguments[0].manager)))
        return ended

    monkeypatch.setattr(loop.RunTraining, "end_epoch", measured)
    train.train_and_evaluate(config, folder, Console(file=io.StringIO()))
    return counts


@pytest.mark.thorough
@pytest.mark.parametrize("every_epochs", [1, 100_000])
def test_nothing_is_compiled_again_and_nothing_piles_up(
    small_config, tmp_path, monkeypatch, compilations, every_epochs
):
    small_config.checkpoint.every_epochs = every_epochs
    counts = long_run(small_config, tmp_path / "run", monkeypatch, compilations)
    compiled, (first, last) = [count for count, _ in counts], (counts[SETTLED][1], counts[-1][1])
    print(f"{every_epochs}: {compiled[0]} programs; {first} {last}")
    assert compiled[0] > 0 and set(compiled) == {compiled[0]}
    for name in ("arrays", "threads", "files"):
        assert last[name] <= first[name], name
    epochs = EPOCHS - 1 - SETTLED
    # Of each epoch this test itself keeps one.
    most = ORBAX_KEEPS if every_epochs == 1 else 2
    assert (last["objects"] - first["objects"]) / epochs <= most
    if EPOCHS >= 100:  # before that the allocator's own moods are larger
        resident = np.array([each["bytes"] for _, each in counts[SETTLED:]])
        early, late = np.median(resident[: epochs // 4]), np.median(resident[-epochs // 4 :])
        print(
            f"  {(late - early) / (0.75 * epochs) / 1e3:.1f} kB an epoch; MB: {resident[:: epochs // 12] / 1e6}"
        )
        assert (late - early) / (0.75 * epochs) <= MOST_BYTES


@pytest.mark.thorough
def test_files_grow_by_so_much_an_epoch(small_config, tmp_path):
    """metrics.jsonl by two lines and one for each log interval, the events by eight scalars."""
    sizes = []
    for epochs in (2, 6):
        small_config.update(
            {"total_epochs": epochs, "batch_size": 512, "log_every_steps": 1, "tensorboard": True}
        )
        small_config.dataset.validation_fraction = 0.5
        folder = tmp_path / str(epochs)
        train.train_and_evaluate(small_config, folder, Console(file=io.StringIO()))
        (events,) = (folder / "tensorboard").glob("events.*")
        sizes.append((events.stat().st_size, (folder / "metrics.jsonl").stat().st_size))
    grown = np.diff(sizes, axis=0)[0] / 4
    print(f"bytes an epoch of one log interval, events and metrics.jsonl: {grown}")
    assert np.all(grown > 100) and np.all(grown < 1200)
