"""Every command on a folder of class folders, made of the digits."""

import io
import json

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
    own += "--config.model.name=gap_net", "--config.dataset.image_size=40"
    run = tmp_path / "run"
    done = run_main(run, "--config.dataset.name=folder", *own, *options)
    assert done.returncode == 0, done.stderr
    assert "Decoding 600 pictures in 10 classes" in done.stdout
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.5  # of 120; a tenth would be chance
    picture = folder / "seven" / "0.png"
    report = "--out", tmp_path / "report.html"
    for name, *arguments in (
        ("evaluate", "--workdir", run),
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
    assert facts["input"]["shape"][1:] == [40, 40, 3]
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
