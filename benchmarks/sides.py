"""The two sides of the step benchmarks: one training loop, and one evaluation, in ours and in plain PyTorch.

Each holds a data set of random images in memory, as uint8, and makes a `Side`: functions that run so many training
steps, or evaluate EVALUATED images so many times, and return when the results are on the host.
"""

import pathlib
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
IMAGES = 10_000
EVALUATED = 1024
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
LEARNING_RATE = {"sgd": 1e-3, "adam": 1e-4}


class Side(NamedTuple):
    train: Callable  # (steps) -> None
    infer: Callable  # (evaluations) -> None
    version: str
    hardware: str


def random_data():
    """uint8 [N, 32, 32, 3], int32 [N]."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    return images, random.integers(0, 10, IMAGES, dtype=np.int32)


class Parts(NamedTuple):
    recipe: object  # steps.Recipe
    programs: object  # programs.Programs
    state: object  # state.TrainState
    data: object  # steps.Data


def make_recipe(model, batch_size, optimizer="sgd", dtype="float32"):
    """steps.Recipe of a training of ours, without augmentation and dropout."""
    import jax.numpy as jnp

    from cifar_jax import models
    from cifar_jax.train import augment, losses, optimizers, schedules, steps

    return steps.Recipe(
        model=models.create(model, dropout=0.0, dtype=jnp.dtype(dtype)),
        optimizer=optimizers.make_optimizer(optimizer, momentum=optimizer == "sgd"),
        schedule=schedules.make_schedule("constant", schedules.Plan(1)),
        loss=losses.make_loss("cross_entropy"),
        augmentation=augment.Augmentation(),
        mean=MEAN,
        std=STD,
        dtype=jnp.dtype(dtype),
        batch_size=batch_size,
        eval_batch_size=batch_size,
        num_classes=10,
    )


def make_parts(model, batch_size, optimizer, dtype="float32"):
    """What a training of ours has."""
    import jax

    from cifar_jax.train import hyper, state, steps

    recipe = make_recipe(model, batch_size, optimizer, dtype)
    programs = steps.make_programs(recipe)
    settings = hyper.make_hyper(LEARNING_RATE[optimizer], 0.9)
    train_state = state.create_state(recipe.model, recipe.optimizer, settings, 0, (32, 32, 3))
    return Parts(recipe, programs, train_state, jax.device_put(steps.make_data(*random_data())))


def ours(model, batch_size, optimizer, dtype="float32"):
    import jax

    from cifar_jax.machine import runtime

    _, programs, train_state, data = make_parts(model, batch_size, optimizer, dtype)
    order = programs.epoch_order(train_state.key, 0, IMAGES)
    part = data.replace(rows=data.rows[:EVALUATED], labels=data.labels[:EVALUATED])

    def train(count):
        nonlocal train_state
        train_state, sums = programs.train_steps(train_state, data, order, count)
        jax.device_get(sums.compute())

    def infer(count):
        for _ in range(count):
            sums = programs.evaluate(train_state.variables, part)
        jax.device_get(sums)

    return Side(train, infer, f"jax {jax.__version__}", runtime.hardware())


def pytorch(model, batch_size, optimizer, dtype="float32", compiled=False):
    """The same in PyTorch, in channels_last; bfloat16 by autocast, `compiled` by torch.compile."""
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    import torch_models

    cuda = torch.cuda.is_available()
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if cuda else "cpu")
    images, labels = random_data()
    images = (
        torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
    )  # NHWC in memory: channels_last
    labels = torch.from_numpy(labels).long().to(device)
    net = torch_models.BUILD[model]().to(device, memory_format=torch.channels_last)
    rate = LEARNING_RATE[optimizer]
    make = {
        "sgd": lambda: torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9),
        "adam": lambda: torch.optim.Adam(net.parameters(), lr=rate),
    }
    descent = make[optimizer]()
    mean, std = (torch.tensor(each, device=device).view(1, 3, 1, 1) for each in (MEAN, STD))
    order, position = torch.randperm(IMAGES, device=device), 0
    called = torch.compile(net) if compiled else net
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16")

    def batch():
        nonlocal position
        chosen = order[position : position + batch_size]
        position = (position + batch_size) % (IMAGES - batch_size)
        return (images[chosen].float() / 255 - mean) / std, labels[chosen]

    def train(count):
        net.train()
        loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device)
        for _ in range(count):
            x, target = batch()
            with autocast:
                logits = called(x)
                loss = torch.nn.functional.cross_entropy(logits, target)
            descent.zero_grad(set_to_none=True)
            loss.backward()
            descent.step()
            loss_sum += loss.detach()
            correct += (logits.detach().argmax(1) == target).sum()
        loss_sum.item(), correct.item()

    def infer(count):
        net.eval()
        correct = torch.zeros((), device=device)
        with torch.inference_mode(), autocast:
            for _ in range(count * EVALUATED // batch_size):
                x, target = batch()
                correct += (called(x).argmax(1) == target).sum()
        correct.item()

    hardware = torch.cuda.get_device_name() if cuda else "cpu"
    return Side(train, infer, f"torch {torch.__version__}", hardware)


def milliseconds(run, seconds, least=3):
    """Milliseconds of one of `run`'s units in each of several intervals, and seconds of the first, which compiles.

    Args:
        run: of a Side.
        seconds: to spend, about; but `least` intervals.
    Returns:
        (list of float, float).
    """
    started = time.perf_counter()
    run(1)
    first = time.perf_counter() - started
    started = time.perf_counter()
    run(2)
    # Intervals of about a fifth of the time.
    interval = max(1, min(1000, int(seconds / 5 / ((time.perf_counter() - started) / 2))))
    run(interval)
    times, stop = [], time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times) < least:
        started = time.perf_counter()
        run(interval)
        times.append((time.perf_counter() - started) / interval * 1e3)
    return times, first
