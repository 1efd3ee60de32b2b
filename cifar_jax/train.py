"""The loop over epochs: train, evaluate, decide, checkpoint, log. No maths here."""

import contextlib
import dataclasses
import hashlib
import math
import time

import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax import (
    checkpoints,
    data,
    metrics,
    models,
    optim,
    parallel,
    progress,
    runtime,
    state,
    steps,
    workdir,
    writers,
)
from cifar_jax import config as config_lib
from cifar_jax.errors import TrainingDiverged
from cifar_jax.log import Log
from cifar_jax.run import build


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
    dataset = data.load(config.dataset.name, config.dataset.data_dir, config.dataset.archive)
    run = build(config, dataset)
    folder = workdir.open_workdir(folder, config, dataset.fingerprint)
    start = state.create_state(
        run.recipe.model,
        run.recipe.optimizer,
        config.seed,
        run.train.images.shape[1:],
        config.schedule.mode,
    )
    start = jax.device_put(start, parallel.replicated(run.mesh))
    display = progress.Display(run.total_steps, config.total_epochs, console)
    with contextlib.closing(checkpoints.open_manager(folder / "checkpoints")) as manager, display:
        train_state, record = start, Record()
        if (step := manager.latest_step()) is not None:
            train_state, kept, about = checkpoints.restore(manager, start, step)
            workdir.check_same(folder, about, workdir.about(config, dataset.fingerprint))
            record = Record(**kept)
            display.say(f"resuming {folder} at step {step:,} of {run.total_steps:,}")
        lines = writers.JsonLines(folder / "metrics.jsonl", int(train_state.step))
        events = writers.NoTensorBoard()
        if config.tensorboard:
            events = writers.TensorBoard(folder / "tensorboard", display.say)
        log = Log(lines, events, display)
        try:
            log.start(run, train_state)
            with runtime.catch_signals() as caught:
                train_state = train(run, train_state, record, manager, log, caught)
            summary = final_evaluation(run, train_state, record, manager, log)
        finally:
            log.close()
    workdir.write_json(folder / "summary.json", summary)
    progress.print_summary(display.console, summary, dataset.class_names)
    display.say(progress.next_commands(folder, config))
    return summary


def train(run, train_state, record, manager, log, caught):
    """Trains to the end.

    Args:
        run: Run.
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
    config, per_epoch = run.config, run.steps_per_epoch
    step = int(train_state.step)
    if step < run.total_steps:
        record.compile_seconds += compile_steps(run, train_state)
    while step < run.total_steps:
        epoch = step // per_epoch
        order = run.programs.epoch_order(train_state.key, epoch, len(run.train.labels))
        score = None
        while step // per_epoch == epoch:
            position = step % per_epoch
            count = min(
                config.log_every_steps - position % config.log_every_steps, per_epoch - position
            )
            train_state = interval(run, train_state, record, log, order, step, count, manager)
            step += count
            if caught and step % per_epoch:
                break
        # The last loss was finite, the update that followed it need not be.
        if not steps.all_finite(train_state.params):
            raise TrainingDiverged(diverged_message(step, manager))
        if step % per_epoch == 0:
            train_state, score = end_epoch(run, train_state, record, log, epoch, manager)
        last, stop = step == run.total_steps, bool(caught)
        due = step % per_epoch == 0 and (epoch + 1) % config.checkpoint.every_epochs == 0
        if due or last or stop:
            about = workdir.about(config, run.dataset.fingerprint)
            # A checkpoint that only a signal made is no candidate for the best one: an
            # uninterrupted run would not have it.
            candidate = score if due or last else None
            checkpoints.save(manager, train_state, dataclasses.asdict(record), about, candidate)
        if stop:
            break
    manager.wait_until_finished()
    if caught:
        raise runtime.Interrupted(
            f"stopped by signal {caught[0]} at step {step:,}; saved. The same command goes on from here.",
            caught[0],
        )
    return train_state


def compile_steps(run, train_state):
    """Compiles the training steps before the first interval, whose time is then its own.

    Returns:
        seconds.
    """
    started = time.perf_counter()
    every, per_epoch = run.config.log_every_steps, run.steps_per_epoch
    counts = {min(every, per_epoch), per_epoch % every} - {0}
    order = run.programs.epoch_order(train_state.key, 0, len(run.train.labels))
    run.programs.compile(train_state, run.train, order, sorted(counts))
    return time.perf_counter() - started


def interval(run, train_state, record, log, order, step, count, manager):
    """Trains `count` steps from `step` on and logs them.

    Returns:
        TrainState.
    Raises:
        TrainingDiverged: naming the step and the last checkpoint.
    """
    started = time.perf_counter()
    train_state, sums = run.programs.train_steps(train_state, run.train, order, count)
    values = {name: float(value) for name, value in jax.device_get(sums.compute()).items()}
    seconds = time.perf_counter() - started
    if (bad_step := int(values.pop("first_nonfinite"))) != metrics.NEVER:
        manager.wait_until_finished()
        raise TrainingDiverged(diverged_message(bad_step, manager))
    record.train_seconds += seconds
    record.epoch_seconds += seconds
    record.epoch_steps += count
    record.epoch_loss += values["loss"] * count
    record.epoch_accuracy += values["accuracy"] * count
    values["images_per_second"] = count * run.config.batch_size / seconds
    log.interval(step + count, step // run.steps_per_epoch + 1, values)
    return train_state


def diverged_message(step, manager):
    good = manager.latest_step()
    kept = (
        f"the last good checkpoint is {manager.directory / str(good)}"
        if good
        else "no checkpoint was written yet"
    )
    return (
        f"the loss became NaN or infinite at step {step:,}; {kept}. Try a smaller "
        "--config.optimizer.learning_rate, a warm-up (--config.schedule.warmup_epochs=1), or "
        "--config.dtype=float32, in a new --workdir."
    )


def end_epoch(run, train_state, record, log, epoch, manager):
    """Evaluates on the validation split and updates the plateau.

    Returns:
        (TrainState, score of this state: greater is better; None without a validation split).
    """
    config, count = run.config, record.epoch_steps
    trained = {"loss": record.epoch_loss / count, "accuracy": record.epoch_accuracy / count}
    validation, score = None, None
    if run.validation is not None:
        validation = evaluate(run, train_state, run.validation, manager)
        if config.schedule.name == "plateau":
            monitored = validation[config.schedule.monitor.removeprefix("validation_")]
            train_state = train_state.replace(
                plateau=update_plateau(config, train_state.plateau, monitored, run.mesh)
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


def evaluate(run, train_state, split, manager):
    """What metrics.summarize says of a split.

    Raises:
        TrainingDiverged: the mean loss is NaN or infinite.
    """
    found = metrics.summarize(run.programs.evaluate(train_state.variables, split))
    if not math.isfinite(found["loss"]):
        raise TrainingDiverged(diverged_message(int(train_state.step), manager))
    return found


def update_plateau(config, plateau, monitored, mesh):
    schedule, base = config.schedule, config.optimizer.learning_rate
    updated = optim.plateau_update(
        plateau,
        jnp.float32(monitored),
        mode=schedule.mode,
        factor=schedule.factor,
        patience=schedule.patience,
        threshold=schedule.threshold,
        threshold_mode=schedule.threshold_mode,
        cooldown=schedule.cooldown,
        min_scale=schedule.min_learning_rate / base if base else 0.0,
        eps_scale=1e-8 / base if base else 0.0,
    )
    return jax.device_put(updated, parallel.replicated(mesh))


def final_evaluation(run, last, record, manager, log):
    """Reads the test set, once, and evaluates the best and the last parameters on it.

    Returns:
        the summary, JSON-able.
    """
    config = run.config
    test = jax.device_put(
        steps.Data(*map(np.asarray, run.dataset.split("test"))), parallel.replicated(run.mesh)
    )
    states = {"last": last}
    if run.validation is not None:
        best_step = manager.best_step()
        is_last = best_step in (int(last.step), None)
        best = last if is_last else checkpoints.restore(manager, last, best_step)[0]
        states = {"best": best, **states}
    results = {}
    for name, each in states.items():
        results[name] = {"step": int(each.step)}
        for split, split_data in (("validation", run.validation), ("test", test)):
            if split_data is None:
                results[name][split] = None
                continue
            results[name][split] = evaluate(run, each, split_data, manager)
        log.test(int(last.step), name, results[name]["test"])
    selected = "best" if config.selection == "validation" else "last"
    chosen = results[selected]
    images = run.config.batch_size * int(last.step)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(last.params)]
    return {
        "config": config.to_dict(),
        "dataset": config.dataset.name,
        "dataset_fingerprint": run.dataset.fingerprint,
        "params": sum(leaf.size for leaf in leaves),
        "epochs": config.total_epochs,
        "steps": int(last.step),
        "selected": selected,
        "validation_accuracy": chosen["validation"] and chosen["validation"]["accuracy"],
        "test_accuracy": chosen["test"]["accuracy"],
        "test_loss": chosen["test"]["loss"],
        "test_images": chosen["test"]["count"],
        "per_class_test_accuracy": chosen["test"]["per_class_accuracy"],
        "checkpoints": results,
        "train_seconds": record.train_seconds,
        "compile_seconds": record.compile_seconds,
        "images_per_second": images / record.train_seconds,
        "peak_memory_bytes": runtime.peak_memory_bytes(),
        "hardware": runtime.hardware(),
        "versions": runtime.versions(),
        "params_sha256": hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest(),
    }
