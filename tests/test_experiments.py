"""The configs of the reports' trainings, and python -m cifar_jax.experiments."""

import json

import pytest
from command_line import ROOT

from cifar_jax import config as config_lib
from cifar_jax import experiments, models
from cifar_jax.config.experiments import EXPERIMENTS
from cifar_jax.errors import ConfigError

# What the reports print: 34 trainings, by report and name.
REPORTED = {
    "000": {"model_1": 77.65, "model_2": 75.22, "model_3": 75.36, "model_4": 78.83},
    "001": {
        "baseline": 71.2,
        "lr_0.0001": 65.21,
        "lr_0.0005": 69.62,
        "lr_0.005": 72.8,
        "lr_0.01": 71.49,
        "adam": 70.43,
        "rmsprop": 48.64,
        "adagrad": 53.48,
        "label_smoothing": None,
        "origin": 55.21,
        "modified": 65.36,
    },
    "002": {"lr_0.01": 89.55, "lr_0.005": 87.56, "lr_0.001": 87.44},
    "003": {
        "basic": 62.06,
        "wide": 77.91,
        "gap": 82.14,
        "attention": 81.77,
        "resnet18_sgd": 90.92,
        "resnet18_adam": 89.66,
        "resnet18_adam_low": 91.27,
        "resnet10": 90.03,
        "resnet10_plateau": 92.09,
        "resnet18_dw": 90.68,
    },
    "004": {
        "base": 60.92,
        "improved": 66.60,
        "no_scheduler": 62.10,
        "no_l2": 61.55,
        "no_batch_norm": 60.65,
        "no_dropout": 62.48,
    },
}


def load(name):
    return config_lib.load(ROOT / "configs" / name)


@pytest.mark.thorough
def test_json_lists_every_training_with_its_reported_figure(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert experiments.main(["--json"]) == 0
    trainings = json.loads(capsys.readouterr().out)
    assert len(trainings) == 34
    values = {report: {} for report in REPORTED}
    for each in trainings:
        values[each["report"]][each["id"]] = each["reported"]["value"]
        assert config_lib.load(each["config"]).model.name == each["model"]
        assert each["params"] == models.REGISTRY[each["model"]].num_params
        assert each["reported"]["source"].startswith(f"report {each['report']}")
        assert each["reported"]["remarks"]
    assert values == REPORTED


@pytest.mark.thorough
def test_table_and_a_folder_that_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert experiments.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 35
    assert "modified_net:adagrad" in lines[12] and "53.48" in lines[12]
    assert experiments.main(["--configs", "none"]) == 2
    assert "--configs" in capsys.readouterr().err


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.config)
def test_config_is_a_few_lines(experiment):
    """It loads, is checked, and says only what differs from the default."""
    config = load(experiment.config)
    changed = config_lib.differing(config_lib.default(), config)
    assert 2 <= len(changed) <= 16
    models.create(
        config.model.name, dropout=config.model.dropout, activation=config.model.activation
    )


def test_learning_rates_are_the_only_difference_of_table_viii():
    baseline = load("modified_net.py:baseline")
    for variant in ("lr_0.0001", "lr_0.0005", "lr_0.005", "lr_0.01"):
        differing = config_lib.differing(baseline, load(f"modified_net.py:{variant}"))
        rate = float(variant.removeprefix("lr_"))
        assert differing == [("optimizer.learning_rate", 0.001, rate)]


def test_each_ablation_of_report_004_takes_one_thing_away():
    improved = load("big_net.py:improved")
    taken = {
        variant: [
            name for name, *_ in config_lib.differing(improved, load(f"big_net.py:{variant}"))
        ]
        for variant in ("no_scheduler", "no_l2", "no_batch_norm", "no_dropout")
    }
    assert taken == {
        "no_scheduler": ["schedule.drop_epochs", "schedule.name"],
        "no_l2": ["optimizer.weight_decay"],
        "no_batch_norm": ["model.name"],
        "no_dropout": ["model.dropout"],
    }


def test_report_000_varies_activation_and_dropout():
    variants = {variant: load(f"plain_cnn.py:{variant}").model for variant in REPORTED["000"]}
    assert [(model.activation, model.dropout) for model in variants.values()] == [
        ("leaky_relu", 0.5),
        ("leaky_relu", 0.0),
        ("relu", 0.5),
        ("relu", 0.0),
    ]


def test_unknown_variant_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean `lr_0.01`"):
        load("modified_net.py:lr_0.1")
