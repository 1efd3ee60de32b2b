"""The loop over epochs: train, evaluate, decide, checkpoint, log. No maths here."""

import dataclasses
import time

import jax
import jax.numpy as jnp

from cifar_jax import config as config_lib
from cifar_jax import metrics, models
from cifar_jax.config import jax_settings
from cifar_jax.console import progress
from cifar_jax.machine import files, processes, runtime
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.runs import checkpoints, workdir, writers
from cifar_jax.train import early_stopping, inputs, schedules, steps
from cifar_jax.train.evaluation import diverged, evaluate, final_evaluation
from cifar_jax.train.log import Log
from cifar_jax.train.setup import build, initial_state


@dataclasses.dataclass
class Record:
    """What the host has to know beside TrainState to go on; kept with each checkpoint."""

    train_seconds: float = 0.0  # in training steps, compilation not counted
    compile_seconds: float = 0.0
    # Sums over the steps of the current epoch so far.
    epoch_steps: int = 0
    epoch_loss: float = 0.0
    epoch_accuracy: float = 0.0
    epoch_seconds: float = 0.0


@jax_settings.pinned()
def train_and_evaluate(config, folder, console=None):
    """Trains what a config describes, from the start or from where the workdir stands.

    Args:
        config: ConfigDict, as of config.default().
        folder: the workdir.
        console: rich.console.Console to print on.
    Returns:
        the summary, as in summary.json.
    Raises:
        UserError: and its kinds; see errors.py.
    """
    config = config_lib.check(config)
    # What the model can't have is said before a download.
    models.create(
        config.model.name, dropout=config.model.dropout, activation=config.model.activation
    )
    runtime.enable_compilation_cache(config.compilation_cache)
    theirs = workdir.recorded(folder)
    dataset = processes.in_turns(lambda: inputs.load_data(config, theirs))
    sums = inputs.weights_of([config], theirs)
    setup = dataclasses.replace(build(config, dataset), weights_sha256=sums)
    goes_on = inputs.goes_on_without(config.model.weights, theirs)
    start = initial_state(setup, with_weights=not goes_on)
    with workdir.claimed(folder) as folder:
        identity = folder, config, dataset.fingerprint, processes.is_first(), sums
        processes.in_turns(lambda: workdir.open_workdir(*identity))
        return train_in(folder, setup, start, console, goes_on)


def train_in(folder, setup, start, console, goes_on=False):
    """Trains in a workdir of one's own and writes the summary.

    Args:
        folder: of workdir.claimed, with its config.json.
        setup: Setup.
        start: TrainState where there is no checkpoint.
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
        if found := checkpoints.restore_newest(manager, start, display.say):
            train_state, kept, about = found
            mine = workdir.about(config, dataset.fingerprint, setup.weights_sha256)
            workdir.check_same(folder, about, mine)
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
        log = Log(lines, events, display)
        try:
            log.start(setup, train_state)
            with runtime.catch_signals() as caught:
                train_state = train(setup, train_state, record, manager, log, caught)
            summary = final_evaluation(setup, train_state, record, manager, log)
        finally:
            log.close()
    if processes.is_first():
        files.write_json(folder / "summary.json", summary)
    progress.print_summary(display.console, summary, dataset.class_names)
    display.say(progress.next_commands(folder, config, summary))
    return summary


def train(setup, train_state, record, manager, log, caught):
    """Trains to the end, or to where it is stopped early.

    Args:
        setup: Setup.
        train_state: TrainState to start from; donated.
        record: Record that belongs to it; updated.
        manager: of checkpoints.open_manager.
        log: Log.
        caught: list that a signal is put into.
    Returns:
        the last TrainState.
    Raises:
        TrainingDiverged, runtime.Interrupted.
    """
    config, per_epoch = setup.config, setup.steps_per_epoch
    step, reason = int(train_state.step), int(train_state.early_stopping.reason)
    if step < setup.total_steps and not reason:
        record.compile_seconds += compile_steps(setup, train_state, train_state.key)
    while step < setup.total_steps and not reason:
        epoch = step // per_epoch
        order = setup.programs.epoch_order(train_state.key, epoch, len(setup.train.labels))
        score = None
        while step // per_epoch == epoch:
            count = interval_length(setup, step)
            train_state = interval(setup, train_state, record, log, order, step, count, manager)
            step += count
            if step % per_epoch and processes.signal_of_any(caught):
                break
        # The last loss was finite, the update that followed it need not be.
        if not steps.all_finite(train_state.params):
            raise diverged(setup, train_state, step, manager, "a weight")
        if step % per_epoch == 0:
            train_state, score = end_epoch(setup, train_state, record, log, epoch, manager)
            reason = int(train_state.early_stopping.reason)
        last, stop = step == setup.total_steps or reason, processes.signal_of_any(caught)
        due = step % per_epoch == 0 and (epoch + 1) % config.checkpoint.every_epochs == 0
        if due or last or stop:
            about = workdir.about(config, setup.dataset.fingerprint, setup.weights_sha256)
            about["dataset"] = setup.dataset.facts()  # with which the model can do without its data
            # A checkpoint that only a signal made is no candidate for the best one: an
            # uninterrupted run would not have it.
            candidate = score if due or last else None
            checkpoints.save(manager, train_state, dataclasses.asdict(record), about, candidate)
        if stop:
            break
    checkpoints.wait(manager)
    if reason and step < setup.total_steps:
        why = early_stopping.describe(reason, config.early_stopping)
        log.stopped_early(step // per_epoch, why)
    if number := processes.signal_of_any(caught):
        raise runtime.Interrupted(
            f"stopped by signal {number} at step {step:,}; saved. The same command goes on from here.",
            number,
        )
    return train_state


def interval_length(setup, step):
    """Steps from `step` to the end of its log interval, or of its epoch if that comes first."""
    position, every = step % setup.steps_per_epoch, setup.config.log_every_steps
    return min(every - position % every, setup.steps_per_epoch - position)


def compile_steps(setup, train_state, key):
    """Compiles the training steps before the first interval, whose time is then its own.

    Args:
        key: of the train_state; of a sweep's the keys.

    Returns:
        seconds.
    """
    started = time.perf_counter()
    every, per_epoch = setup.config.log_every_steps, setup.steps_per_epoch
    counts = {min(every, per_epoch), per_epoch % every} - {0}
    order = setup.programs.epoch_order(key, 0, len(setup.train.labels))
    setup.programs.compile(train_state, setup.train, order, sorted(counts))
    return time.perf_counter() - started


def interval(setup, train_state, record, log, order, step, count, manager):
    """Trains `count` steps from `step` on and logs them.

    Returns:
        TrainState.
    Raises:
        TrainingDiverged: naming the step and the last checkpoint.
    """
    started = time.perf_counter()
    train_state, sums = setup.programs.train_steps(train_state, setup.train, order, count)
    values = {name: float(value) for name, value in jax.device_get(sums.compute()).items()}
    seconds = time.perf_counter() - started
    if (bad_step := int(values.pop("first_nonfinite"))) != metrics.NEVER:
        checkpoints.wait(manager)
        raise diverged(setup, train_state, bad_step, manager)
    record.train_seconds += seconds
    record.epoch_seconds += seconds
    record.epoch_steps += count
    record.epoch_loss += values["loss"] * count
    record.epoch_accuracy += values["accuracy"] * count
    values["images_per_second"] = count * setup.config.batch_size / seconds
    log.interval(step + count, step // setup.steps_per_epoch + 1, values)
    return train_state


def end_epoch(setup, train_state, record, log, epoch, manager):
    """Evaluates on the validation split; updates the plateau and early stopping.

    Returns:
        (TrainState, score of this state: greater is better; None without a validation split).
    """
    config, count = setup.config, record.epoch_steps
    trained = {"loss": record.epoch_loss / count, "accuracy": record.epoch_accuracy / count}
    validation, score = None, None
    if setup.validation is not None:
        validation = evaluate(setup, train_state, setup.validation, manager)
        decisions = decide(config, train_state, trained, validation)
        train_state = train_state.replace(
            **jax.device_put(decisions, mesh_lib.replicated(setup.mesh))
        )
        by_loss = config.checkpoint.monitor == "validation_loss"
        score = -validation["loss"] if by_loss else validation["accuracy"]
    log.epoch(epoch + 1, int(train_state.step), trained, validation, record.epoch_seconds)
    record.epoch_steps, record.epoch_loss, record.epoch_accuracy, record.epoch_seconds = (
        0,
        0.0,
        0.0,
        0.0,
    )
    return train_state, score


def decide(config, train_state, trained, validation):
    """The states of what watches the validation set, after an epoch.

    Returns:
        the changed fields of TrainState: a dict.
    """
    changed, schedule, stopping = {}, config.schedule, config.early_stopping
    if schedule.name == "plateau":
        options = ("factor", "patience", "threshold", "threshold_mode", "cooldown")
        changed["plateau"] = schedules.plateau_update(
            train_state.plateau,
            monitored(validation, schedule.monitor),
            mode=early_stopping.mode_of(schedule.monitor),
            **{name: schedule[name] for name in options},
            **schedules.plateau_scales(train_state.hyper.learning_rate, schedule.min_learning_rate),
        )
    if stopping.patience or stopping.max_gap:
        changed["early_stopping"] = early_stopping.update(
            train_state.early_stopping,
            monitored(validation, stopping.monitor),
            jnp.float32(100 * (trained["accuracy"] - validation["accuracy"])),
            mode=early_stopping.mode_of(stopping.monitor),
            patience=stopping.patience,
            min_delta=stopping.min_delta,
            max_gap=stopping.max_gap,
        )
    return changed


def monitored(validation, monitor):
    """The metric that a `monitor` field names: float32 []."""
    return jnp.float32(validation[monitor.removeprefix("validation_")])
