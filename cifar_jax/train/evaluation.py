"""Evaluation of a split, and of the whole run at its end."""

import hashlib
import math

import jax
import numpy as np

from cifar_jax import metrics
from cifar_jax.errors import TrainingDiverged
from cifar_jax.machine import processes, runtime
from cifar_jax.runs import checkpoints
from cifar_jax.train import divergence, monitors


def diverged(setup, train_state, step, manager, subject="the loss"):
    """Make a TrainingDiverged of what is not finite first at `step`; `train_state` is of that epoch or the next."""
    learning_rate = None
    if step:
        factor = setup.recipe.schedule(step - 1) * train_state.plateau.scale
        learning_rate = float(train_state.hyper.learning_rate * factor)
    return TrainingDiverged(divergence.message(setup, step, subject, learning_rate, manager))


def evaluate(setup, train_state, split, manager):
    """Evaluate a split: metrics.summarize of it.

    Raises:
        TrainingDiverged: the mean loss is NaN or infinite.
    """
    # What is decided by it is decided in every process: by the same figures, also on hosts that round otherwise.
    evaluated = processes.of_first(setup.programs.evaluate(train_state.variables, split))
    figures = metrics.summarize(evaluated)
    if not math.isfinite(figures["loss"]):
        raise diverged(setup, train_state, int(train_state.step), manager, "the evaluated loss")
    return figures


def final_evaluation(setup, last, record, manager, log):
    """Read the test set, once, and evaluate the best and the last parameters on it.

    Returns:
        the summary, JSON-able.
    """
    config = setup.config
    test = setup.put(*setup.dataset.split("test"))
    states = {"last": last}
    if setup.validation is not None:
        best_step = manager.best_step()
        is_last = best_step in (int(last.step), None)
        best = last if is_last else checkpoints.restore(manager, last, best_step)[0]
        states = {"best": best, **states}
    results = {}
    for name, each in states.items():
        results[name] = {"step": int(each.step)}
        for split, split_data in (("validation", setup.validation), ("test", test)):
            if split_data is None:
                results[name][split] = None
                continue
            results[name][split] = evaluate(setup, each, split_data, manager)
        log.test(int(last.step), name, results[name]["test"])
    stopped = int(last.step) < setup.total_steps
    reason = monitors.stopping_reason(last.early_stopping.reason, config.early_stopping)
    images = setup.config.batch_size * int(last.step)
    return {
        **described(
            *(config, setup.dataset.fingerprint, last.params, int(last.step)),
            *(setup.steps_per_epoch, reason if stopped else None, results),
        ),
        "train_seconds": record.train_seconds,
        "compile_seconds": record.compile_seconds,
        "images_per_second": images / record.train_seconds,
        "peak_memory_bytes": runtime.peak_memory_bytes(),
    }


def described(config, fingerprint, params, steps, steps_per_epoch, stopped_early, results):
    """Make what a summary says of a run, its times and memory aside: JSON-able.

    Args:
        config: checked ConfigDict.
        fingerprint: of the data set.
        params: the last ones.
        steps: that were trained.
        steps_per_epoch: int.
        stopped_early: why, in words; None for a run that was not.
        results: {"best" and "last": {"step", "validation" and "test": of metrics.summarize, or None}}.
    """
    selected = "last" if config.selection == "last" else "best"
    chosen = results[selected]
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    return {
        "config": config.to_dict(),
        "dataset": config.dataset.name,
        "dataset_fingerprint": fingerprint,
        "params": sum(leaf.size for leaf in leaves),
        "epochs": steps // steps_per_epoch,
        "stopped_early": stopped_early,
        "steps": steps,
        "selected": selected,
        "validation_accuracy": chosen["validation"] and chosen["validation"]["accuracy"],
        "test_accuracy": chosen["test"]["accuracy"],
        "test_loss": chosen["test"]["loss"],
        "test_images": chosen["test"]["count"],
        "per_class_test_accuracy": chosen["test"]["per_class_accuracy"],
        "checkpoints": results,
        "hardware": runtime.hardware(),
        "versions": runtime.versions(),
        "params_sha256": hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest(),
    }
