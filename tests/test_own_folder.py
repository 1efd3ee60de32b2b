"""Every command on a folder of class folders, made of the digits."""

import io
import json
import shutil

import pytest
from command_line import run_main, run_module
from PIL import Image
from rich.console import Console

from cifar_jax import data
from cifar_jax.sweep import Sweep, driver, grid

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The first sixty of each class that the digits train on."""
    root = tmp_path_factory.mktemp("digits") / "my pictures"
    images, labels = data.load("digits").split("train")
    for label, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for n, image in enumerate(images[labels == label][:60]):
            Image.fromarray(image).save(root / name / f"{n}.png")
    return root


@pytest.mark.thorough
def test_every_command(folder, tmp_path):
    own = f"--config.dataset.path={folder}", f"--config.dataset.data_dir={tmp_path / 'data'}"
    options = "--config.total_epochs=8", "--config.batch_size=16", "--config.tensorboard=false"
    own += "--config.model.name=gap_net", "--config.dataset.image_size=16"
    run = tmp_path / "run"
    done = run_main(run, "--config.dataset.name=folder", *own, *options)
    assert done.returncode == 0, done.stderr
    assert "Decoding 600 pictures in 10 classes" in done.stdout
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.5  # of 120; a tenth would be chance
    picture = folder / "seven" / "0.png"
    report = "--out", tmp_path / "report.html"
    for name, *arguments in (
        ("evaluate", "--workdir", run, "--full"),
        ("predict", "--workdir", run, picture),
        ("gradcam", "--workdir", run, "--images", picture, "--out", tmp_path / "cam"),
        ("ood", "--workdir", run, "--ood", "noise", "--out", tmp_path / "ood"),
        ("report", run, *report),
        ("export", "--workdir", run, "--out", tmp_path / "model.jaxexport"),
    ):
        done = run_module(name, *arguments)
        assert done.returncode == 0, (name, done.stderr)
        if name in ("evaluate", "predict"):
            assert "seven" in done.stdout
        assert "Decoding" not in done.stdout
    facts = json.loads((tmp_path / "model.jaxexport.json").read_text())
    assert facts["input"]["shape"][1:] == [16, 16, 3]
    assert all(name in (tmp_path / "report.html").read_text() for name in NAMES)


@pytest.mark.thorough
def test_a_sweep(folder, small_config, tmp_path):
    small_config.dataset.update(
        {"name": "folder", "path": str(folder), "data_dir": str(tmp_path / "data")}
    )
    small_config.update({"batch_size": 32, "total_epochs": 1})
    sweep = Sweep(small_config, grid({"optimizer.learning_rate": [0.01, 0.1]}), "lr_0.01")
    console = Console(file=io.StringIO())
    rows = driver.train_sweep(sweep, 1, tmp_path / "sweep", console=console)
    assert len(rows) == 2 and all(0 <= row["selected_test_accuracy"] <= 1 for row in rows)


@pytest.fixture(scope="module")
def three(folder, tmp_path_factory):
    """The folders of three of the classes."""
    root = tmp_path_factory.mktemp("three")
    for name in ("two", "four", "nine"):
        shutil.copytree(folder / name, root / name)
    return root


@pytest.fixture(scope="module")
def of_ten_digits(workdir, tmp_path_factory):
    """A file of the weights of a basic_net that knows ten digits."""
    file = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    done = run_module("weights", "--workdir", workdir, "--target", file)
    assert done.returncode == 0, done.stderr
    return file


ANEW = "has another number of classes: fc3 begins anew, with 3"


@pytest.mark.thorough
def test_a_model_of_ten_digits_learns_three_classes(three, of_ten_digits, tmp_path):
    own = f"--config.dataset.path={three}", f"--config.dataset.data_dir={tmp_path / 'data'}"
    options = "--config.total_epochs=4", "--config.batch_size=16", "--config.tensorboard=false"
    weights = f"--config.model.weights={of_ten_digits}", "--config.model.freeze=backbone"
    run = tmp_path / "run"
    arguments = "--config.dataset.name=folder", *own, *options, "--config.model.name=basic_net"
    done = run_main(run, *arguments, *weights)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(ANEW) == 1
    assert json.loads((run / "summary.json").read_text())["test_accuracy"] > 0.8  # chance is 0.33
    for name, *rest in (("evaluate", "--no-speed"), ("predict", three / "nine" / "0.png")):
        done = run_module(name, "--workdir", run, *rest)
        assert done.returncode == 0 and "nine" in done.stdout, (name, done.stderr)


@pytest.mark.thorough
def test_a_sweep_fine_tunes(three, of_ten_digits, small_config, tmp_path, capsys):
    small_config.dataset.update(
        {"name": "folder", "path": str(three), "data_dir": str(tmp_path / "data")}
    )
    small_config.model.update(
        {"name": "basic_net", "weights": str(of_ten_digits), "freeze": "backbone"}
    )
    small_config.update({"batch_size": 16, "total_epochs": 3})
    sweep = Sweep(small_config, grid({"optimizer.learning_rate": [0.0, 0.003]}), "lr_0.003")
    console = Console(file=io.StringIO())
    untrained, trained = driver.train_sweep(sweep, 1, tmp_path / "sweep", console=console)
    assert ANEW in capsys.readouterr().out
    assert trained["selected_test_accuracy"] > max(0.7, untrained["selected_test_accuracy"])
