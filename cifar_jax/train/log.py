"""Sends what happens in a run to metrics.jsonl, to TensorBoard, to the terminal and to callbacks."""

import datetime

import jax
import numpy as np
from clu import parameter_overview

from cifar_jax import config as config_lib
from cifar_jax.config import flatten, kinds
from cifar_jax.console import progress
from cifar_jax.console.endings import printable
from cifar_jax.machine import compilation, runtime
from cifar_jax.runs import writers
from cifar_jax.train import augment, steps
from cifar_jax.train.setup import remark_on_data


class Log:
    """One method for each kind of event.

    Args:
        lines: writers.JsonLines.
        events: writers.TensorBoard.
        display: progress.Display.
        callbacks: callbacks.Callbacks.
    """

    def __init__(self, lines, events, display, callbacks):
        self._lines, self._events, self._display = lines, events, display
        self.callbacks = callbacks

    def start(self, folder, setup, train_state):
        """Say what is about to be trained; on a fresh run show it in TensorBoard too."""
        params = train_state.params
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        run = {
            "config": setup.config.to_dict(),
            "workdir": str(folder),
            "step": int(train_state.step),
            "total_steps": setup.total_steps,
            "steps_per_epoch": setup.steps_per_epoch,
            "parameters": count,
            "dataset": setup.dataset.name,
            "class_names": list(map(str, setup.dataset.class_names)),
        }
        self.callbacks.tell("start", run)
        on_test = setup.config.selection == "test"
        validation = 0 if on_test or not setup.validation else len(setup.validation.labels)
        self._display.say(
            f"{setup.config.model.name}: {count:,} parameters; {setup.dataset.name}: "
            f"{len(setup.train.labels):,} training, {validation:,} validation, "
            f"{setup.dataset.sizes['test']:,} test images; {runtime.hardware()}"
        )
        if remark := runtime.unused_gpu():
            self._display.say(remark)
        self._display.say(
            f"{setup.config.total_epochs:,} epochs of {setup.steps_per_epoch:,} steps of "
            f"{setup.config.batch_size:,} images"
        )
        if changes := config_lib.changes(setup.config):
            self._display.say(printable(f"not as by default: {', '.join(changes)}"))
        if remark := remark_on_data(setup.config, setup.dataset):
            self._display.say(remark)
        if (remark := kinds.remark(setup.config)) and setup.validation is not None:
            self._display.say(remark)
        if on_test:
            self._display.say(
                "selection=test: what is called validation below is the test set, so the result is optimistic"
            )
        if int(train_state.step) or isinstance(self._events, writers.Nowhere):
            return
        overview = parameter_overview.get_parameter_overview(params, include_stats=False)
        hyperparameters = flatten(setup.config)
        self._events.write_hparams({name: plain(value) for name, value in hyperparameters.items()})
        self._events.write_texts(0, {"parameters": f"```\n{overview}\n```"})
        self._events.write_images(0, {"augmented": augmented_grid(setup, train_state.key)})

    def interval(self, step, epoch, values):
        self._lines.write({"step": step, "epoch": epoch, "split": "train", **values})
        self._events.write_scalars(step, {f"train/{name}": value for name, value in values.items()})
        self._display.interval(step, epoch, **values)
        self.callbacks.tell("interval", step, epoch, dict(values))

    def compiled(self, seconds):
        self._display.compiled(seconds)

    def moved(self, step):
        """Show that so many steps are done, within a log interval."""
        self._display.moved(step)

    def estimate(self, step_seconds, setup, steps):
        """Say how long `steps` more will take."""
        now, batch = datetime.datetime.now(), setup.config.batch_size
        per_epoch = setup.steps_per_epoch
        self._display.say(progress.estimate(step_seconds, steps, per_epoch, batch, now))

    def may_stop(self):
        self._display.may_stop()

    def epoch(self, epoch, step, trained, validation, seconds):
        self._lines.write({"step": step, "epoch": epoch, "split": "train_epoch", **trained})
        if validation:
            self._lines.write({"step": step, "epoch": epoch, "split": "validation", **validation})
            values = {f"validation/{name}": validation[name] for name in ("loss", "accuracy")}
            self._events.write_scalars(step, values)
        self._display.epoch(epoch, trained, validation, seconds)
        self.callbacks.tell("epoch", epoch, step, dict(trained), validation and dict(validation))

    def stopped_early(self, epoch, reason):
        self._display.stopped_early(epoch, reason)

    def test(self, step, checkpoint, values):
        self._lines.write({"step": step, "split": "test", "checkpoint": checkpoint, **values})
        self._events.write_scalars(step, {f"test/{checkpoint}_accuracy": values["accuracy"]})

    def close(self):
        try:
            self._lines.close()  # writes what a full disk refused before
        finally:
            self._events.close()


def plain(value):
    """Return a field's value as TensorBoard takes it."""
    return "" if value is None else str(value) if isinstance(value, tuple) else value


def augmented_grid(setup, key, rows=4, columns=8):
    """Augment the first training images as the model will see them: uint8 [1, rows*H, columns*W, C]."""
    images, augmentation = setup.train.images(slice(rows * columns)), setup.recipe.augmentation
    mirrored = None
    if augmentation.alternates:
        mirrored = steps.alternating_mask(key, np.arange(len(images)), 0)
    augmented = compilation.jit_once(augment.augment, static_argnums=2)
    images = np.asarray(augmented(key, images, augmentation, mirrored))
    columns = min(columns, len(images))
    images = images[: len(images) // columns * columns]
    _, height, width, channels = images.shape
    grid = images.reshape(-1, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(1, -1, columns * width, channels)
