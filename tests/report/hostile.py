"""Names that would run if anything in a report took them for HTML or for the end of a script; runs that have them."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

from cifar_jax import trained
from cifar_jax.analysis import result

FOLDER = "<script>hacked=1<img src=x onerror=hacked=1>"
CLASS = "</script><script>hacked=1</script>"
HISTOGRAM = {"low": 0.0, "high": 2.0, "inside": [1, 3], "outside": [4, 0]}
OTHER = "'\"><img src=x onerror=hacked=1>&amp;{{ 7 * 7 }}"


def write_gradcam(folder):
    folder.mkdir(parents=True)
    np.savez(
        folder / "gradcam.npz",
        **{"index": [3, -1], "class": [1, 2], "label": [1, -1], "predicted": [1, 3]},
        maps=np.arange(32, dtype=np.float32).reshape(2, 4, 4),
        images=np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8),
        **{"confidence": [0.75, 0.5], "source": ["test 3", OTHER], "layer": "conv2_relu"},
    )


def write_detection(folder):
    folder.mkdir()
    row = {"auroc": 0.91234, "fpr95": 0.25, "accuracy": 0.875, "threshold": 0.5}
    row |= {"set": OTHER, "score": "energy", "accuracy_low": 0.85, "accuracy_high": 0.9}
    results = {
        "version": 1,
        "in_distribution": {"name": "digits"},
        "sets": {OTHER: {"source": "embedded"}},
        "scores": {"energy": {"title": "Energy " + CLASS, "layer": "relu_9"}},
        "results": [row],
        "histograms": [{"set": OTHER, "score": "energy", **HISTOGRAM}],
        "reported": {"remark": "Report 004 gives " + OTHER},
    }
    (folder / "ood.json").write_text(json.dumps(results))


@contextlib.contextmanager
def hostile_classes():
    """Digits whose classes have names that would run, of a model whose speed takes no time to measure."""
    measured = {"batch": 1, "milliseconds": 2.5, "images_per_second": 400.0, "calls": 5}
    opened = trained.open_run

    def open_run(*arguments):
        run = opened(*arguments)
        names = [CLASS, OTHER, *run.dataset.class_names[2:]]
        return dataclasses.replace(run, dataset=dataclasses.replace(run.dataset, class_names=names))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "open_run", open_run)
        patch.setattr(result, "measure_speed", lambda *_: [measured])
        yield
