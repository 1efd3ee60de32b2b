"""What a report is made of, read from the folders of runs; what is missing is evaluated."""

import dataclasses
import json
import math
import pathlib
import zipfile
from typing import Any

import numpy as np

from cifar_jax import trained
from cifar_jax.analysis import result
from cifar_jax.errors import UserError
from cifar_jax.runs import writers

MOST_GRADCAM = 24  # images of a gradcam.npz


@dataclasses.dataclass(frozen=True)
class GradCam:
    """The results of a gradcam.npz."""

    place: str  # its folder within the run's
    layer: str
    images: list  # uint8 [H, W, C] each; None where an older file has none
    size: tuple  # (H, W) of the images
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


def collect(name, workdir, split, checkpoint=None, data_dir=None, say=lambda text: None):
    """Reads a run, and evaluates it where that has not been done, or was of another step or other data.

    Args:
        name: what the report calls the run.
        workdir: its folder.
        split: "test", "validation" or "train".
        checkpoint: "best", "last" or a step; None for what the config's selection names.
        data_dir: where the data set is now.
        say: takes a line of text about what takes long.
    Returns:
        Collected.
    Raises:
        UserError: as trained.open_run, trained.split and result.evaluate.
    """
    from cifar_jax.machine import runtime

    run = trained.open_run(workdir, checkpoint, data_dir)
    data = trained.split(run, split)
    folder = run.workdir / "evaluation" / f"{split}_{run.checkpoint}"
    found = stored(folder, run, split, data)
    if found is None:
        say(f"{run.workdir}: evaluating checkpoint {run.checkpoint} on the split {split}")
        runtime.enable_compilation_cache(run.config.compilation_cache)
        found = result.evaluate(run, split, data)
        try:
            result.write(result.open_folder(folder), *found)
        except (OSError, UserError):  # another's run, or a full disk: the page has it all the same
            say(f"{folder} can't be written: the evaluation is kept in the page only")
    gradcams, detections, unreadable = [], [], []
    for path in sorted(run.workdir.rglob("gradcam.npz")):
        _keep(gradcams, unreadable, run.workdir, path, lambda path: read_gradcam(path, run))
    for path in sorted(run.workdir.rglob("ood.json")):
        _keep(
            detections,
            unreadable,
            run.workdir,
            path,
            lambda path: (_within(run.workdir, path.parent), read_detection(path)),
        )
    return Collected(
        name,
        run,
        *found,
        data[0],
        writers.read_rows(run.workdir / "metrics.jsonl"),
        _json(run.workdir / "summary.json"),
        _json(run.workdir / "config.json"),
        gradcams,
        detections,
        unreadable,
    )


def stored(folder, run, split, data):
    """(evaluation, predictions) of an earlier evaluation; None where there is none of this very checkpoint.

    All that follows from the predictions is computed again: a file that someone has shortened or changed
    costs the page nothing but what was measured, which is then left out.
    """
    evaluation = _json(folder / "evaluation.json")
    try:
        with np.load(folder / "predictions.npz", allow_pickle=False) as file:
            predictions = {name: file[name] for name in ("index", "label", "logits")}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    dataset, logits = evaluation.get("dataset"), predictions["logits"]
    same = (
        evaluation.get("format") == 1
        and evaluation.get("step") == run.step
        and evaluation.get("split") == split
        and isinstance(dataset, dict)
        and dataset.get("fingerprint") == run.dataset.fingerprint
        and np.array_equal(predictions["index"], data[2])
        and np.array_equal(predictions["label"], data[1])
        and logits.dtype.kind == "f"
        and logits.shape == (len(data[1]), len(run.dataset.class_names))
        and np.isfinite(logits).all()
    )
    if not same:
        return None
    kept = {
        key: evaluation[key]
        for key, kind in (("versions", dict), ("hardware", str))
        if isinstance(evaluation.get(key), kind)
    }
    speed = evaluation.get("speed") if _is_speed(evaluation.get("speed")) else None
    return result.assemble(run, split, predictions, speed) | kept, predictions


def _is_speed(found):
    """Whether something is what result.measure_speed gives."""
    keys = ("batch", "milliseconds", "images_per_second")
    return isinstance(found, list) and all(
        isinstance(each, dict) and all(isinstance(each.get(key), int | float) for key in keys)
        for each in found
    )


def _json(path):
    """The object in a file; empty where there is none."""
    try:
        found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _within(workdir, path):
    return str(path.relative_to(workdir))


def _keep(found, unreadable, workdir, path, read):
    """Reads a file that another command wrote; one that can't be read is no reason to have no report."""
    try:
        found.append(read(path))
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        unreadable.append((_within(workdir, path), f"{type(error).__name__}: {error}"))


def read_gradcam(path, run):
    """The first images of a gradcam.npz, with their maps.

    Args:
        path: of the file.
        run: trained.Trained, whose data set has the images.
    Returns:
        GradCam.
    Raises:
        KeyError, OSError, ValueError, zipfile.BadZipFile: it is not one.
    """
    names = ("index", "class", "maps", "label", "predicted", "confidence", "source", "layer")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in names}
        own = file.get("images")  # which older files do not have
    count = len(arrays["index"])
    if arrays["maps"].ndim != 3 or any(len(arrays[name]) != count for name in names[:-1]):
        raise ValueError("its arrays are not of as many images")
    classes = len(run.dataset.class_names)
    for name in ("index", "class", "predicted", "label"):
        if arrays[name].dtype.kind not in "iu":
            raise ValueError(f"its {name} is not of whole numbers")
    for name in ("class", "predicted", "label"):
        if ((arrays[name] >= classes) | (arrays[name] < (-1 if name == "label" else 0))).any():
            raise ValueError(f"it names classes that {run.dataset.name} does not have")
    sources = [str(each) for each in arrays["source"][:MOST_GRADCAM]]
    shape = run.dataset.split("test")[0].shape[1:]
    if own is None:
        splits = {name: run.dataset.split(name)[0] for name in ("train", "test")}
        images = [
            _image(splits, source, int(index))
            for source, index in zip(sources, arrays["index"], strict=False)
        ]
    elif own.dtype == np.uint8 and own.shape == (count, *shape):
        images = list(own[:MOST_GRADCAM])
    else:
        raise ValueError("its images are not of the run's shape")
    shown = {name: arrays[name][:MOST_GRADCAM] for name in names[1:-2]}
    return GradCam(
        _within(run.workdir, path.parent),
        str(arrays["layer"]),
        images,
        shape[:2],
        shown["maps"],
        shown["label"],
        shown["predicted"],
        shown["class"],
        shown["confidence"],
        sources,
        count,
    )


def _image(splits, source, index):
    """The image that a gradcam.npz speaks of; None of a file's. Validation images are training images."""
    name = {"validation": "train"}.get(source.partition(" ")[0], source.partition(" ")[0])
    if name not in splits or not 0 <= index < len(splits[name]):
        return None
    return splits[name][index]


def read_detection(path):
    """An ood.json.

    Raises:
        KeyError, OSError, TypeError, ValueError: it is not one.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    for row in found["results"]:
        found["scores"][row["score"]]["title"], found["sets"][row["set"]]["source"]
        for name in ("auroc", "fpr95", "accuracy", "accuracy_low", "accuracy_high", "threshold"):
            if not math.isfinite(row[name]):
                raise ValueError(f"its {name} is not finite")
    if not found["results"] or not isinstance(found["in_distribution"]["name"], str):
        raise ValueError("it has no results")
    if not isinstance(found.get("reported", {}), dict):
        raise ValueError("what it says of the report is no object")
    _check_histograms(found)
    return found


def _check_histograms(found):
    """Those of an ood.json; older ones have none."""
    rows = {(row["set"], row["score"]) for row in found["results"]}
    for each in found.get("histograms", []):
        low, high, counts = each["low"], each["high"], (each["inside"], each["outside"])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("a histogram's axis has no length")
        if len(counts[0]) != len(counts[1]) or not all(sum(each) > 0 for each in counts):
            raise ValueError("a histogram has no images")
        if (each["set"], each["score"]) not in rows:
            raise ValueError("a histogram is of a set or a score without a result")
