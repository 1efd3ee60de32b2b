"""The run that a page is made of, and its pages."""

import io
import json
import shutil

import pytest
from hostile import FOLDER, OTHER, hostile_classes, write_detection, write_gradcam
from rich.console import Console

from cifar_jax import report, train


@pytest.fixture(scope="module")
def run(tmp_path_factory, module_config):
    """The folder of a run, whose name is hostile, with results of Grad-CAM and OOD detection."""
    folder = tmp_path_factory.mktemp("runs") / FOLDER
    module_config.reported.update({"value": 99.0, "metric": "test accuracy, %", "source": OTHER})
    train.train_and_evaluate(module_config, folder, Console(file=io.StringIO()))
    write_gradcam(folder / "gradcam")
    write_detection(folder / "ood")
    return folder


@pytest.fixture(scope="module")
def made(run):
    """The page of the run, made by the command line; its evaluation was missing."""
    path = run.parent / "report.html"
    with hostile_classes():
        assert report.main([str(run), "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def evaluation(run, made):
    return json.loads((run / "evaluation" / "test_best" / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def compared(run, made):
    """The page of two runs, the second a copy without results of its own."""
    copy = run.parent / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("gradcam", "ood", "evaluation"))
    path = run.parent / "compared.html"
    with hostile_classes():
        assert report.main([str(run), str(copy), "--out", str(path), "--images", "40"]) == 0
    return path
