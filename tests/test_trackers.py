"""The callbacks of docs/callbacks.md, word for word, each with its tracker where that is installed."""

import re

import pytest
from command_line import ROOT

from cifar_jax import config as config_lib
from cifar_jax import train

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/callbacks.md").read_text(), re.DOTALL)


def callback(name):
    """The class of that name, out of the page."""
    (block,) = (each for each in BLOCKS if f"class {name}(" in each)
    if name == "Printing":
        block = block.partition("\n\ntrain.train_and")[0]
    space = {}
    exec(block, space)
    return space[name]


@pytest.fixture
def config(small_config):
    small_config.total_epochs = 2
    return config_lib.check(small_config)


@pytest.mark.thorough
def test_the_first_one(config, tmp_path, capsys):
    summary = train.train_and_evaluate(config, tmp_path / "run", callbacks=[callback("Printing")()])
    printed = capsys.readouterr().out
    assert f" {summary['checkpoints']['last']['validation']['accuracy']}\n" in printed


@pytest.mark.thorough
def test_mlflow(config, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    made = callback("MLflow")(f"file://{tmp_path / 'store'}")
    summary = train.train_and_evaluate(config, tmp_path / "run", callbacks=[made])
    client = mlflow.MlflowClient(made.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("cifar_jax").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_accuracy"] == pytest.approx(summary["test_accuracy"])
    assert run.data.params["total_epochs"] == "2"
    assert len(client.get_metric_history(run.info.run_id, "validation_loss")) == 2


@pytest.mark.thorough
def test_wandb(config, tmp_path):
    wandb = pytest.importorskip("wandb")
    train.train_and_evaluate(config, tmp_path / "run", callbacks=[callback("WandB")()])
    assert wandb.run is None
    (kept,) = (tmp_path / "run/wandb").glob("offline-run-*/run-*.wandb")
    assert kept.stat().st_size > 1000


@pytest.mark.thorough
def test_trackio(config, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    train.train_and_evaluate(config, tmp_path / "run", callbacks=[callback("Trackio")()])
    assert [path for path in (tmp_path / "trackio").rglob("*") if path.is_file()]
