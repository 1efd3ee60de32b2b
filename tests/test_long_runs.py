"""Hundreds of epochs: nothing is compiled after the first, memory stays, and files grow by so much an epoch."""

import io
import os
import resource

import jax
import numpy as np
import pytest
from rich.console import Console

from cifar_jax import train

EPOCHS = int(os.environ.get("EPOCHS", 200))
COMPILED = "/jax/core/compile/backend_compile_duration"


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.fixture
def compilations():
    """A list that each compilation adds to."""
    found = []

    def listen(event, seconds, **_):
        if event == COMPILED:
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("form", ["loop", "scan"])
@pytest.mark.parametrize("every", [1, 10_000])
def test_x(quick_config, tmp_path, monkeypatch, compilations, form, every):
    config = quick_config
    config.total_epochs, config.batch_size, config.log_every_steps = EPOCHS, 600, 1
    config.dataset.validation_fraction = 0.1
    config.steps_per_call, config.checkpoint.every_epochs = form, every
    config.tensorboard = every > 1 and form == "loop"
    counts, memory, sizes, end_epoch = [], [], [], train.end_epoch

    def measured(*arguments):
        found = end_epoch(*arguments)
        counts.append(len(compilations))
        memory.append(resident_bytes())
        return found

    monkeypatch.setattr(train, "end_epoch", measured)
    import time

    a = time.perf_counter()
    train.train_and_evaluate(config, tmp_path / "run", Console(file=io.StringIO()))
    b = time.perf_counter() - a
    mb = np.array(memory) / 1e6
    print("\nRESULT", flush=True)
    print(
        "RESULT",
        form,
        every,
        f"{b:.1f}s",
        "compiled",
        counts[0],
        counts[1],
        counts[2],
        counts[-1],
        "rss",
        mb[[0, 1, 2, 5, 10]].round(1),
        mb[10::20].round(1),
        mb[-1].round(1),
    )
    print(
        {
            str(p.relative_to(tmp_path)): p.stat().st_size
            for p in (tmp_path / "run").rglob("*")
            if p.is_file() and "checkpoints" not in str(p)
        }
    )
