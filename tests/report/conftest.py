"""The run that a page is made of, and its pages."""

import io
import json
import shutil

import pytest
from command_line import new_config
from hostile import FOLDER, OTHER, hostile_classes, write_detection, write_gradcam
from rich.console import Console

from cifar_jax import report, train


@pytest.fixture(scope="session")
def pages(made_once):
    """The folder of all that follows; tests leave it as it is."""

    def make(folder):
        run, copy = folder / FOLDER, folder / "copy"
        config = new_config()
        config.reported.update({"value": 99.0, "metric": "test accuracy, %", "source": OTHER})
        train.train_and_evaluate(config, run, Console(file=io.StringIO()))
        write_gradcam(run / "gradcam")
        write_detection(run / "ood")
        one, two = (["--out", str(folder / name)] for name in ("report.html", "compared.html"))
        with hostile_classes():
            assert report.main([str(run), *one]) == 0
            ignored = shutil.ignore_patterns("gradcam", "ood", "evaluation")
            shutil.copytree(run, copy, ignore=ignored)
            assert report.main([str(run), str(copy), *two, "--images", "40"]) == 0

    return made_once("report", make)


@pytest.fixture(scope="session")
def run(pages):
    """The folder of a run, whose name is hostile, with results of Grad-CAM, OOD detection and an evaluation."""
    return pages / FOLDER


@pytest.fixture(scope="session")
def made(pages):
    """The page of the run, made by the command line; its evaluation was missing."""
    return pages / "report.html"


@pytest.fixture(scope="session")
def evaluation(run):
    return json.loads((run / "evaluation" / "test_best" / "evaluation.json").read_text())


@pytest.fixture(scope="session")
def compared(pages):
    """The page of two runs, the second a copy without results of its own."""
    return pages / "compared.html"


@pytest.fixture
def own_pages(pages, tmp_path):
    """A copy of `pages` for a test that writes into it."""
    return shutil.copytree(pages, tmp_path / "pages")
