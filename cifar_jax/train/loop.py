"""The loop over epochs: train, evaluate, decide, checkpoint, log. No maths here."""

import dataclasses
import os
import time
from collections.abc import Sequence

import jax
from rich.console import Console

from cifar_jax import config as config_lib
from cifar_jax import metrics, models
from cifar_jax.config import jax_settings
from cifar_jax.console import curves, progress
from cifar_jax.console.summaries import Summary
from cifar_jax.machine import files, processes, runtime
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.machine.compilation import jit_once
from cifar_jax.runs import checkpoints, stacked, workdir, writers
from cifar_jax.train import callbacks as callback_lib
from cifar_jax.train import epochs, inputs, monitors, steps
from cifar_jax.train.evaluation import diverged, evaluate, final_evaluation
from cifar_jax.train.log import Log
from cifar_jax.train.pace import Pace
from cifar_jax.train.setup import Setup, build, initial_state
from cifar_jax.train.state import TrainState


@dataclasses.dataclass
class Record:
    """Facts beside TrainState that the host needs to go on; kept with each checkpoint."""

    train_seconds: float = 0.0  # in training steps, compilation not counted
    compile_seconds: float = 0.0
    # Sums over the steps of the current epoch so far.
    epoch_steps: int = 0
    epoch_loss: float = 0.0
    epoch_accuracy: float = 0.0
    epoch_seconds: float = 0.0


@jax_settings.pinned()
def train_and_evaluate(
    config: config_lib.Config,
    folder: str | os.PathLike[str],
    console: Console | None = None,
    callbacks: Sequence[callback_lib.Callback] = (),
) -> Summary:
    """Train what a config describes, from the start or from where the workdir stands.

    Args:
        config: ConfigDict, as of config.default().
        folder: the workdir.
        console: rich.console.Console to print on.
        callbacks: list of callbacks.Callback, told of the run's events in the first process.
    Returns:
        the summary, as in summary.json.
    Raises:
        UserError: and its kinds; see errors.py.
    """
    config = config_lib.check(config)
    before = workdir.recorded(folder)
    # A model that can't be so is refused before a download.
    workdir.require_plugins(folder, before)
    models.create(
        config.model.name, dropout=config.model.dropout, activation=config.model.activation
    )
    runtime.enable_compilation_cache(config.compilation_cache)
    stacked.check_can_train(folder)
    dataset = processes.in_turns(lambda: inputs.load_data(config, before))
    weights_sha256 = inputs.weights_of([config], before)
    setup = dataclasses.replace(build(config, dataset), weights_sha256=weights_sha256)
    goes_on = inputs.goes_on_without(config.model.weights, before)
    start = initial_state(setup, with_weights=not goes_on)
    with workdir.claimed(folder) as folder:
        identity = folder, config, dataset.fingerprint, processes.is_first(), weights_sha256
        processes.in_turns(lambda: workdir.open_workdir(*identity))
        told = callback_lib.Callbacks(callbacks if processes.is_first() else ())
        try:
            summary = train_in(folder, setup, start, told, console, goes_on)
            told.tell("end", summary)
            told.raise_failed("its end, saved")
        except BaseException as error:
            told.tell("failure", error)
            raise
    return summary


def train_in(folder, setup, start, told, console, goes_on=False):
    """Train in a workdir of one's own and write the summary.

    Args:
        folder: of workdir.claimed, with its config.json.
        setup: Setup.
        start: TrainState where there is no checkpoint.
        told: callbacks.Callbacks.
        console: of train_and_evaluate.
        goes_on: whether `start` only has a state's shapes, and the run goes on from a checkpoint.
    Returns:
        the summary.
    Raises:
        UserError: `goes_on`, but there is no checkpoint.
    """
    config, dataset = setup.config, setup.dataset
    display = progress.Display(setup.total_steps, config.total_epochs, console)
    with checkpoints.opened(folder / "checkpoints", display.say) as manager, display:
        train_state, record = start, Record()
        if checkpoint := checkpoints.restore_newest(manager, start, display.say):
            train_state, kept, about = checkpoint
            workdir.check_same(folder, about, about_run(setup))
            record = Record(**kept)
            display.say(
                f"resuming {folder} at step {int(train_state.step):,} of {setup.total_steps:,}"
            )
        elif goes_on:
            raise inputs.needs_weights(folder, config.model.weights)
        lines = events = writers.Nowhere()
        if processes.is_first():
            lines = writers.JsonLines(folder / "metrics.jsonl", int(train_state.step))
        if processes.is_first() and config.tensorboard:
            events = writers.TensorBoard(folder / "tensorboard", display.say, int(train_state.step))
        log = Log(lines, events, display, told)
        training = RunTraining(setup, train_state, record, manager, log)
        try:
            log.start(folder, setup, train_state)
            told.raise_failed("its start")
            with runtime.catch_signals() as told.caught:
                train(training, told.caught)
            summary = final_evaluation(setup, training.state, training.record, manager, log)
            summary = Summary(summary)
        finally:
            log.close()
    if processes.is_first():
        files.write_json(folder / "summary.json", summary)
    curves.show(display.console, writers.read_rows(folder / "metrics.jsonl"), config.selection)
    progress.print_summary(display.console, summary, dataset.class_names)
    display.say(progress.next_commands(folder, config, summary))
    return summary


@dataclasses.dataclass
class RunTraining(epochs.Training):
    """The training of one run, as epochs.run takes it."""

    setup: Setup
    state: TrainState  # donated by each interval
    record: Record
    manager: checkpoints.Manager
    log: Log
    # Of the last epoch: greater is better; None without a validation split.
    score: float | None = None
    estimated: bool = False  # whether it was said how long it will take

    def __post_init__(self):
        self._pace = Pace(self.setup.programs)

    def goes_on(self):
        return not int(self.state.early_stopping.reason)

    def interval(self, order, step, count):
        """Train `count` steps from `step` on and log them.

        Raises:
            TrainingDiverged: naming the step and the last checkpoint.
        """
        setup, record, started = self.setup, self.record, time.perf_counter()

        def moved(done):
            self.log.moved(step + done)
            self._estimate(setup.total_steps - step - done)

        self.state, sums = self._pace.train_steps(self.state, setup.train, order, count, moved)
        values = {name: float(value) for name, value in jax.device_get(sums.compute()).items()}
        seconds = time.perf_counter() - started
        if (bad_step := int(values.pop("first_nonfinite"))) != metrics.NEVER:
            checkpoints.wait(self.manager)
            raise diverged(setup, self.state, bad_step, self.manager)
        record.train_seconds += seconds
        record.epoch_seconds += seconds
        record.epoch_steps += count
        record.epoch_loss += values["loss"] * count
        record.epoch_accuracy += values["accuracy"] * count
        values["images_per_second"] = count * setup.config.batch_size / seconds
        self.log.interval(step + count, step // setup.steps_per_epoch + 1, values)

    def compiled(self, seconds):
        self.log.compiled(seconds)

    def _estimate(self, left):
        """Say once how long the steps that are left will take."""
        # Steps of images that grow take longer and longer.
        each, grow = self._pace.step_seconds, self.setup.config.augment.image_sizes
        if self.estimated or grow or not each:
            return
        if left * each >= progress.WORTH_SAYING:
            self.log.estimate(each, self.setup, left)
            self.log.may_stop()
        self.estimated = True

    def check(self, step):
        # The last loss was finite, the update that followed it need not be.
        if not jit_once(steps.all_finite)(self.state.params):
            raise diverged(self.setup, self.state, step, self.manager, "a weight")

    def end_epoch(self, epoch, due):
        """Evaluate on the validation split; update the plateau, early stopping and the score."""
        setup, record, count = self.setup, self.record, self.record.epoch_steps
        trained = {"loss": record.epoch_loss / count, "accuracy": record.epoch_accuracy / count}
        validation, self.score = None, None
        if setup.validation is not None:
            validation = evaluate(setup, self.state, setup.validation, self.manager)
            decisions = monitors.decide(setup.config, self.state, trained, validation)
            decisions = jax.device_put(decisions, mesh_lib.replicated(setup.mesh))
            self.state = self.state.replace(**decisions)
            self.score = monitors.score(setup.config, validation)
        self.log.epoch(epoch + 1, int(self.state.step), trained, validation, record.epoch_seconds)
        self.record = Record(record.train_seconds, record.compile_seconds)

    def save(self, candidate):
        about = about_run(self.setup)
        about["dataset"] = (
            self.setup.dataset.facts()
        )  # with which the model can do without its data
        record, score = dataclasses.asdict(self.record), self.score if candidate else None
        checkpoints.save(self.manager, self.state, record, about, score)


def about_run(setup):
    """Return workdir.about of a run."""
    return workdir.about(setup.config, setup.dataset.fingerprint, setup.weights_sha256)


def train(training, caught):
    """Train a run to the end, or to where it is stopped early.

    Args:
        training: RunTraining.
        caught: list that a signal is put into.
    Raises:
        TrainingDiverged, runtime.Interrupted.
    """
    setup = training.setup
    step = epochs.run(training, int(training.state.step), caught)
    reason = int(training.state.early_stopping.reason)
    if reason and step < setup.total_steps:
        why = monitors.stopping_reason(reason, setup.config.early_stopping)
        training.log.stopped_early(step // setup.steps_per_epoch, why)
    training.log.callbacks.raise_failed(f"step {step:,}, saved")
    epochs.raise_if_stopped(caught, f"step {step:,}")
