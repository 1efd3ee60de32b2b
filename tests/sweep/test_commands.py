"""Every command on the runs of a sweep, each run without a second training."""

import argparse
import dataclasses
import io
import json
import shlex

import numpy as np
import pytest
import small_net
from PIL import Image
from rich.console import Console

from cifar_jax import data, evaluate, export, gradcam, main, ood, predict, report, trained, weights
from cifar_jax.errors import UserError
from cifar_jax.models import weight_files
from cifar_jax.sweep import Sweep, driver, grid

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def swept(made_once, module_config):
    """(folder of a sweep of four runs on the digits, its runs.csv's rows by folder, what was said at its end)."""
    module_config.model.name = small_net.NAME
    module_config.evaluation.flip = True

    def make(folder):
        sweep = Sweep(module_config, grid({"optimizer.learning_rate": [0.01, 0.03]}), "lr_0.01")
        console = Console(file=io.StringIO(), width=200)
        rows = driver.train_sweep(sweep, 2, folder / "my sweep", console=console)
        by_folder = {row["folder"]: row for row in rows}
        (folder / "rows.json").write_text(json.dumps([by_folder, console.file.getvalue()]))

    with small_net.registered():
        folder = made_once("commands_on_a_sweep", make)
        yield folder / "my sweep", *json.loads((folder / "rows.json").read_text())


def call(command, *arguments):
    assert command.main([str(each) for each in arguments]) == 0, (command, arguments)


def test_all_evaluate_to_what_the_table_says(swept, tmp_path):
    folder, rows, said = swept
    assert len(rows) == 4
    for name, row in rows.items():
        for which in ("best", "last"):
            options = "--checkpoint", which, "--no-speed", "--no-figures", "--out", tmp_path
            call(evaluate, "--workdir", folder / name, *options)
            evaluation = json.loads((tmp_path / "evaluation.json").read_text())
            assert evaluation["accuracy"] == row[f"{which}_test_accuracy"]
            assert evaluation["config"]["seed"] == row["seed"]
    (line,) = (line for line in said.splitlines() if line.startswith("Best run:"))
    command = shlex.split(line.partition(":")[2])
    assert command[:3] == ["python", "-m", "cifar_jax.evaluate"]
    assert max(rows, key=lambda name: rows[name]["selected_test_accuracy"]) in command[-1]


def test_each_command_takes_one(swept, tmp_path, capsys):
    folder, rows, _ = swept
    run, other = folder / "runs/lr_0.03-1", folder / "runs/lr_0.01-0"
    Image.new("RGB", (40, 30)).save(tmp_path / "cat.png")
    call(evaluate, "--workdir", run, "--no-speed")
    assert (run / "evaluation/test_best/figures/curves_by_epoch.png").is_file()
    call(evaluate, "--compare", run, other, "--out", tmp_path / "compared")
    call(gradcam, "--workdir", run, "--count", "2")
    call(gradcam, "--workdir", run, "--images", tmp_path / "cat.png")
    call(ood, "--workdir", run, "--ood", "noise", "--count", "50", "--train_count", "50")
    call(report, run)
    call(report, run, other, "--out", tmp_path / "compared.html")
    page = (tmp_path / "compared.html").read_text()
    assert "lr_0.03-1" in page and "lr_0.01-0" in page and "compare-validation" in page
    assert "has no summary.json" not in page
    call(predict, "--workdir", run, tmp_path / "cat.png")
    call(export, "--workdir", run, "--out", tmp_path / "model", "--platforms", "cpu")
    call(weights, "--workdir", run, "--target", tmp_path / "w.npz")
    mine = trained.open_run(run)
    arrays = weight_files.load(tmp_path / "w.npz", small_net.NAME)
    np.testing.assert_array_equal(
        arrays["params"]["conv"]["kernel"], mine.variables["params"]["conv"]["kernel"]
    )
    images, labels, _ = trained.split(mine, "test")
    model = trained.load(run)
    assert (
        model.evaluate(images, labels)["accuracy"] == rows["runs/lr_0.03-1"]["best_test_accuracy"]
    )
    assert model.explain(images[0]).overlay.shape == (32, 32, 3)
    assert capsys.readouterr().err == ""


def test_a_page_serves_one(swept):
    serve = pytest.importorskip("cifar_jax.serve")
    pytest.importorskip("uvicorn")
    given = argparse.Namespace(
        workdir=str(swept[0] / "runs/lr_0.03-0"), checkpoint=None, data_dir=None
    )
    run, limit = serve._open(given)
    assert limit is not None and run.step == 20 * swept[1]["runs/lr_0.03-0"]["best_epoch"]


def test_without_its_data_set_and_with_another(swept, tmp_path, monkeypatch, capsys):
    run = swept[0] / "runs/lr_0.03-0"
    other = dataclasses.replace(data.load("digits"), fingerprint="0" * 64)
    monkeypatch.setattr(data, "load", lambda *_: other)
    with pytest.raises(UserError, match="was trained on other digits data"):
        trained.open_run(run)
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("the data set is asked for"))
    Image.new("RGB", (40, 30)).save(tmp_path / "cat.png")
    call(predict, "--workdir", run, tmp_path / "cat.png", "--json")
    (answer,) = json.loads(capsys.readouterr().out)
    assert {each["class"] for each in answer["predictions"]} <= set(map(str, range(10)))


def test_nothing_is_trained_in_one(swept, tmp_path):
    config = tmp_path / "c.py"
    config.write_text("from cifar_jax.config import default as get_config\n")
    before = sorted(swept[0].rglob("*"))
    with pytest.raises(UserError, match="is a run of a sweep") as error:
        main.main(["main", f"--config={config}", f"--workdir={swept[0] / 'runs/lr_0.03-0'}"])
    assert error.value.exit_code == 2 and "\n" not in str(error.value)
    assert sorted(swept[0].rglob("*")) == before
