"""The parts of a report, read from the folders of runs; a missing evaluation is made."""

import dataclasses
import json
import zipfile
from typing import Any

import numpy as np

from cifar_jax import trained
from cifar_jax.analysis import result
from cifar_jax.errors import UserError
from cifar_jax.machine import runtime
from cifar_jax.runs import workdir, writers

MOST_GRADCAM = 24  # images of a gradcam.npz


@dataclasses.dataclass(frozen=True)
class GradCam:
    """The results of a gradcam.npz."""

    place: str  # its folder within the run's
    layer: str
    images: np.ndarray  # uint8 [N, H, W, C]
    maps: np.ndarray  # float [N, h, w]
    labels: np.ndarray  # int [N], -1 where unknown
    predicted: np.ndarray  # int [N]
    explained: np.ndarray  # int [N]
    confidence: np.ndarray  # float [N]
    sources: list[str]
    count: int  # images in the file; N or more


@dataclasses.dataclass(frozen=True)
class Collected:
    """All that a report says of a run."""

    name: str
    run: trained.Trained
    evaluation: dict
    predictions: dict
    images: Any  # uint8 [N, H, W, C], in the order of the predictions
    rows: list  # of metrics.jsonl
    summary: dict  # summary.json; empty for a run that has not ended
    started: dict  # config.json; empty where it can't be read
    gradcams: list[GradCam]
    detections: list[tuple[str, dict]]  # (folder within the run's, ood.json)
    unreadable: list[tuple[str, str]]  # (file within the run's folder, why)


def collect(name, folder, split, checkpoint=None, data_dir=None, say=lambda text: None):
    """Read a run, and evaluate it where that has not been done, or was of another step or other data.

    Args:
        name: what the report calls the run.
        folder: its workdir.
        split: "test", "validation" or "train".
        checkpoint: "best", "last" or a step; None for what the config's selection names.
        data_dir: where the data set is now.
        say: takes a line of text about what takes long.
    Returns:
        Collected.
    Raises:
        UserError: as trained.open_run, trained.split and result.evaluate.
    """
    run = trained.open_run(folder, checkpoint, data_dir)
    data = trained.split(run, split)
    folder = run.workdir / "evaluation" / f"{split}_{run.checkpoint}"
    evaluated = stored(folder, run, split, data)
    if evaluated is None:
        say(f"{run.workdir}: evaluating checkpoint {run.checkpoint} on the split {split}")
        runtime.enable_compilation_cache(run.config.compilation_cache)
        evaluated = result.evaluate(run, split, data)
        try:
            result.write(result.open_folder(folder), *evaluated)
        except (OSError, UserError):  # another's run, or a full disk: the page has it all the same
            say(f"{folder} can't be written: the evaluation is kept in the page only")
    unreadable = []
    return Collected(
        name,
        run,
        *evaluated,
        data[0],
        writers.read_rows(run.workdir / "metrics.jsonl"),
        workdir.recorded(run.workdir, "summary.json"),
        workdir.recorded(run.workdir),
        _read_each(run, "gradcam.npz", read_gradcam, unreadable),
        _read_each(run, "ood.json", read_detection, unreadable),
        unreadable,
    )


def stored(folder, run, split, data):
    """Read an earlier evaluation; None where there is none of this very checkpoint.

    All that follows from the predictions is computed again.

    Returns:
        (evaluation, predictions), as of result.evaluate.
    """
    evaluation = workdir.recorded(folder, "evaluation.json")
    try:
        with np.load(folder / "predictions.npz", allow_pickle=False) as file:
            predictions = {name: file[name] for name in ("index", "label", "logits")}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    same = (
        evaluation.get("format") == 1
        and evaluation["step"] == run.step
        and evaluation["split"] == split
        and evaluation["dataset"]["fingerprint"] == run.dataset.fingerprint
        and np.array_equal(predictions["index"], data[2])
        and np.array_equal(predictions["label"], data[1])
        and predictions["logits"].shape == (len(data[1]), len(run.dataset.class_names))
    )
    if not same:
        return None
    measured = ("speed", "versions", "hardware")
    measured = {key: evaluation[key] for key in measured if key in evaluation}
    return result.assemble(run, split, predictions, None) | measured, predictions


def _within(folder, path):
    return str(path.relative_to(folder))


def _read_each(run, name, read, unreadable):
    """Read all files of a name in a run's folder; one that can't be read is no reason to have no report."""
    results = []
    for path in sorted(run.workdir.rglob(name)):
        try:
            results.append(read(path, run))
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            unreadable.append((_within(run.workdir, path), f"{type(error).__name__}: {error}"))
    return results


def read_gradcam(path, run):
    """Read the first images of a gradcam.npz, with their maps.

    Args:
        path: of the file.
        run: trained.Trained, in whose folder the file is.
    Returns:
        GradCam.
    Raises:
        KeyError, OSError, ValueError, zipfile.BadZipFile: it is not one.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    classes = len(run.dataset.class_names)
    if any(arrays[name].max() >= classes for name in ("class", "predicted", "label")):
        raise ValueError(f"it names classes that {run.dataset.name} does not have")
    first = {name: array[:MOST_GRADCAM] for name, array in arrays.items() if array.ndim}
    return GradCam(
        place=_within(run.workdir, path.parent),
        layer=str(arrays["layer"]),
        images=first["images"],
        maps=first["maps"],
        labels=first["label"],
        predicted=first["predicted"],
        explained=first["class"],
        confidence=first["confidence"],
        sources=first["source"].tolist(),
        count=len(arrays["index"]),
    )


def read_detection(path, run):
    """Read an ood.json of a run: (its folder within the run's, results).

    Raises:
        KeyError, OSError, TypeError, ValueError: it is not one.
    """
    results = json.loads(path.read_text(encoding="utf-8"))
    if results["version"] != 1:
        raise ValueError("it is of another version")
    return _within(run.workdir, path.parent), results
