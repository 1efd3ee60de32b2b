"""A sweep in its workdir: planned there, or found planned there, and held against what it began with."""

import contextlib
import dataclasses
import pathlib
import time

from cifar_jax import data, models, plugins
from cifar_jax.config import flatten
from cifar_jax.console import sweep_progress
from cifar_jax.errors import ConfigError
from cifar_jax.machine import files, processes, runtime
from cifar_jax.runs import stacked, workdir
from cifar_jax.sweep import cells, groups, memory
from cifar_jax.sweep import stack as stack_lib
from cifar_jax.train import inputs

PATIENCE_SECONDS = 0.5  # between two looks whether another process has ended


@dataclasses.dataclass(frozen=True)
class OpenSweep:
    """A sweep in its workdir, with all that its groups need."""

    folder: pathlib.Path
    sweep: cells.Sweep
    runs: list  # of cells.Trial
    groups: list  # of groups.Group, as when the sweep began
    about: dict  # of `about`
    dataset: data.Dataset
    turns: bool  # of stack_lib.make_programs
    display: sweep_progress.SweepDisplay

    def job(self, index):
        """Return the Job of the group of that number, from 0."""
        began = workdir.recorded(self.folder, "sweep.json")
        names, versions = stacked.folder_names(began), began["versions"]
        title = f"group {index + 1}/{len(self.groups)}"
        known = self.folder, self.about, self.dataset, self.turns
        return Job(*known, title, index, names, versions)


@dataclasses.dataclass(frozen=True)
class Job:
    """All that train_group needs to know beside its group."""

    folder: object
    about: dict
    dataset: data.Dataset
    turns: bool
    name: str
    index: int
    names: dict  # of stacked.folder_names
    versions: dict  # of packages, with which the sweep began


@contextlib.contextmanager
def opened(
    sweep, count, folder, memory_gb=None, console=None, turns=None, least_groups=1, alone=True
):
    """Load a sweep's data, and plan it in its workdir or find it planned there.

    Args:
        alone: of workdir.claimed; the others as of `train_sweep`.
    Yields:
        OpenSweep.
    Raises:
        UserError: and its kinds; see errors.py.
    """
    runs = cells.runs(sweep, count)
    cells.require_plugins(folder)
    for run in runs:  # A model that can't be so is refused before a download.
        model = run.config.model
        models.create(model.name, dropout=model.dropout, activation=model.activation)
    base = sweep.base
    if any(data_of(run.config) != data_of(base) for run in runs):
        raise ConfigError(
            "the runs of a sweep share one data set: dataset.name, path and image_size are the base's"
        )
    runtime.enable_compilation_cache(base.compilation_cache)
    stacked.check_can_train(folder, "sweep.json")
    before = workdir.recorded(folder, "sweep.json")
    dataset = processes.in_turns(lambda: inputs.load_data(base, before))
    display = sweep_progress.SweepDisplay(console)
    turns = stack_lib.takes_turns() if turns is None else turns
    say = (lambda _: None) if before else display.say  # the plan there is, stays
    planned = plan(runs, dataset, memory_gb, turns, say, least_groups)
    weights_sha256 = inputs.weights_of([run.config for run in runs], before)
    new_about = about(sweep, runs, dataset, planned) | {"weights_sha256": weights_sha256}
    with workdir.claimed(folder, alone) as folder:

        def settle():
            with locked(folder, "plan", display.say):
                workdir.open_folder(folder, "sweep.json", new_about, check_same)

        processes.in_turns(settle)
        planned = recorded_plan(folder, runs)
        # The checkpoints say so, too, and the folders of the runs are held against them.
        new_about |= {"groups": [[run.name for run in group.runs] for group in planned]}
        yield OpenSweep(folder, sweep, runs, planned, new_about, dataset, turns, display)


def plan(runs, dataset, memory_gb, turns, say, least_groups=1):
    """Split the runs into groups that fit memory, which `say` is told of: a list of groups.Group.

    Args:
        least_groups: of `train_sweep`.
    """
    available = runtime.available_bytes() if memory_gb is None else memory_gb * 1e9
    whole, least = groups.make_groups(runs), []
    for group in whole:
        classes, images = len(dataset.class_names), dataset.sizes["train"]
        most, per_run = memory.most_runs(group.config, classes, images, available, turns)
        least.append(-(-len(group.runs) // most))
        if least[-1] > 1:
            say(
                f"{len(group.runs)} runs of {group.config.model.name} are split into {least[-1]} groups: "
                f"about {per_run / 1e6:,.0f} MB a run, of {available / 1e9:,.1f} GB"
            )
    into = groups.parts([len(group.runs) for group in whole], least, least_groups)
    return [
        part
        for group, count in zip(whole, into, strict=True)
        for part in groups.split(group, count)
    ]


def recorded_plan(folder, runs):
    """Read the groups with which the sweep began: the memory may be estimated otherwise by now."""
    by_name = {run.name: run for run in runs}
    names = workdir.recorded(folder, "sweep.json")["groups"]
    return [groups.make_group([by_name[name] for name in group]) for group in names]


def about(sweep, runs, dataset, planned):
    """Describe a sweep for sweep.json and for each checkpoint: a JSON-able dict."""
    return {
        "cells": {run.cell: run.config.to_dict() | {"seed": sweep.base.seed} for run in runs},
        "baseline": sweep.baseline,
        "runs": len(runs) // len(sweep.cells),
        "groups": [[run.name for run in group.runs] for group in planned],
        "dataset_fingerprint": dataset.fingerprint,
        "plugins": {run.cell: plugins.of_config(flatten(run.config)) for run in runs},
        "versions": runtime.versions(),
    }


def check_same(folder, old_about, new_about):
    """Refuse to continue another sweep: ConfigError, naming cells and fields.

    Raises:
        ValueError: `old_about` is nothing that `about` says.
    """
    if not isinstance(old_about, dict) or not isinstance(old_about.get("cells"), dict):
        raise ValueError("not what a sweep writes")
    changes = []
    if old_about.get("runs") != new_about["runs"]:
        changes.append(("--runs", old_about.get("runs"), new_about["runs"]))
    for cell in dict.fromkeys([*old_about["cells"], *new_about["cells"]]):
        old, new = old_about["cells"].get(cell), new_about["cells"].get(cell)
        if old is None or new is None:
            changes.append(
                (f"cell {cell}", *("missing" if x is None else "given" for x in (old, new)))
            )
        else:
            changes += [
                (f"{cell}: {name}", *each)
                for name, *each in workdir.differing(old_about, new_about, old, new)
            ]
    if changes:
        lines = "\n".join(f"  {name}: {old!r} there, {new!r} now" for name, old, new in changes)
        raise ConfigError(
            f"{folder} holds another sweep:\n{lines}\n"
            "Choose another --workdir, or give the same values to continue that sweep."
        )
    name = next(iter(new_about["cells"].values()))["dataset"]["name"]
    workdir.check_same_data(folder, old_about, new_about, name)


def data_of(config):
    """Return the fields that decide which images a run has."""
    return tuple(config.dataset[name] for name in ("name", "path", "archive", "image_size"))


@contextlib.contextmanager
def locked(folder, name, say, caught=()):
    """Keep others out of a part of a sweep's workdir; where one is in it, wait for him to end and tell `say`.

    Raises:
        Interrupted: a signal came into `caught` meanwhile.
    """
    if not processes.is_first():
        yield
        return
    path = folder / "locks" / name
    path.parent.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        waited = False
        while not _entered(stack, path):
            if caught:
                raise runtime.Interrupted(
                    f"stopped by signal {caught[0]} while another process has the {name}", caught[0]
                )
            if not waited:
                say(f"another process has the {name} of {folder}; waiting for it to end")
            waited = True
            time.sleep(PATIENCE_SECONDS)
        yield


def _entered(stack, path):
    """Enter the lock of a file, or return False where another process has it."""
    try:
        stack.enter_context(files.locked(path))
    except BlockingIOError:
        return False
    return True
