"""A folder for each run of a sweep that has a result: what a run of its own would say of itself, without its arrays.

These stay in the checkpoint of the group, where runs/reader.py finds them by what config.json says of their place.
"""

import json
import math

import jax

from cifar_jax.machine import files
from cifar_jax.machine import mesh as mesh_lib
from cifar_jax.runs import stacked, workdir
from cifar_jax.train.evaluation import described


def contents(job, setup, group, stack, rows, tested, epoch_rows):
    """Make what the folders of a group's runs hold.

    Args:
        job: opening.Job.
        setup: Setup of the group.
        group: groups.Group.
        stack: at the group's end, as in its checkpoint.
        rows: of results.run_rows.
        tested: of results.test.
        epoch_rows: of results.epoch_rows, as many as are known.
    Returns:
        {folder, such as "runs/lr_0.1-0": (config.json, rows of metrics.jsonl, summary.json)}; none of a run that
        diverged.
    """
    params, by_run, all_of = mesh_lib.on_host(stack.members.state.params), {}, {}
    for each in epoch_rows:
        by_run.setdefault((each["cell"], each["seed"]), []).append(each)
    per_epoch, fingerprint = setup.steps_per_epoch, setup.dataset.fingerprint
    for i, (run, row) in enumerate(zip(group.runs, rows, strict=True)):
        if not row["folder"]:
            continue
        weights = workdir.digests_of_weights(job.about)
        weights = {name: each for name, each in weights.items() if name == run.config.model.weights}
        about = workdir.about(run.config, fingerprint, weights) | {"versions": job.versions}
        place = run.name, job.index, int(stack.step), i, per_epoch
        about = stacked.about(about, setup.dataset.facts(), *place)
        epochs = by_run.get((run.cell, run.seed), [])
        of_test = {name: without_nan(each[i]) for name, each in tested.items()}
        results = results_of(epochs, of_test, row, per_epoch)
        own = jax.tree.map(lambda x, i=i: x[i], params)
        what = run.config, fingerprint, own, row["steps"], per_epoch, row["stopped_early"], results
        summary = described(*what) | {"versions": job.versions, "train_seconds": row["seconds"]}
        all_of[row["folder"]] = about, metrics_rows(epochs, of_test, row["steps"]), summary
    return all_of


def write(folder, all_of):
    """Write what `contents` made into a sweep's folder; what else is in a run's folder stays there."""
    for name, (about, rows, summary) in all_of.items():
        run = folder / name
        run.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row, allow_nan=False) + "\n" for row in rows)
        files.write_text(run / "metrics.jsonl", "".join(lines))
        files.write_json(run / "summary.json", summary)
        # The last one: without it the folder is no run.
        files.write_json(run / "config.json", about)


def results_of(epochs, of_test, row, per_epoch):
    """Make `checkpoints` of a summary.

    Args:
        epochs: rows of results.epoch_rows of the run.
        of_test: {"best" and "last": of metrics.summarize}.
        row: of results.run_rows.
        per_epoch: steps of an epoch.
    """
    steps = {"best": (row["best_epoch"] or row["epochs"]) * per_epoch, "last": row["steps"]}
    validated = {each["step"]: validation for each in epochs if (validation := _validation(each))}
    return {
        name: {"step": steps[name], "validation": validated.get(steps[name]), "test": each}
        for name, each in of_test.items()
    }


def metrics_rows(epochs, of_test, steps):
    """List the rows of a metrics.jsonl. The only log intervals that a sweep knows are its epochs.

    Args:
        epochs, of_test: as of `results_of`.
        steps: that were trained.
    """
    rows = []
    for each in epochs:
        place = {"step": each["step"], "epoch": each["epoch"]}
        trained = {"loss": each["train_loss"], "accuracy": each["train_accuracy"]}
        rate = {"learning_rate": each["learning_rate"]}
        rows.append({**place, "split": "train", **trained, **rate})
        rows.append({**place, "split": "train_epoch", **trained})
        if validation := _validation(each):
            rows.append({**place, "split": "validation", **validation})
    rows += [
        {"step": steps, "split": "test", "checkpoint": name, **each}
        for name, each in of_test.items()
    ]
    return [without_nan(row) for row in rows]


def _validation(row):
    if row["validation_loss"] is None:
        return None
    return {"loss": row["validation_loss"], "accuracy": row["validation_accuracy"]}


def without_nan(figures):
    """Return a dict with None for NaN and infinity, which JSON does not have."""
    return {
        name: None if isinstance(each, float) and not math.isfinite(each) else each
        for name, each in figures.items()
    }
