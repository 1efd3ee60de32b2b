"""python -m cifar_jax.summary."""

import json

import pytest

from cifar_jax import models, summary
from cifar_jax.models import reported


@pytest.mark.thorough
def test_json_lists_the_models_with_the_reports_counts(monkeypatch, capsys):
    """Some of them: those of all 31 are what the registry's tests look at."""
    names = ["basic_net", "modified_net", "resnet18_imagenet", "vgg16", "resnet9"]
    monkeypatch.setattr(models, "names", lambda: names)
    assert summary.main(["--json"]) == 0
    descriptions = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in descriptions] == names
    for each in descriptions:
        entry = models.REGISTRY[each["name"]]
        assert each["params"] == entry.num_params
        assert each["parameter_bytes"] == 4 * entry.num_params
        assert (each["num_classes"], tuple(each["input_shape"])) == (
            entry.num_classes,
            entry.input_shape,
        )
        assert each["multiply_adds"] > 0 and each["activation_bytes"] > 0
        if each["reported"]:
            assert each["reported"]["params"] == each["params"]
    assert [each["reported"] is not None for each in descriptions] == [True] * 4 + [False]


def test_layers_of_a_model_with_their_shapes(capsys):
    assert summary.main(["--model", "modified_net"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("│")[1].strip(): line for line in lines if line.count("│") > 3}
    assert "float32[1,32,32,8]" in rows["conv1"]
    assert "float32[1,8,8,16]" in rows["conv3"] and "float32[1,64]" in rows["fc2"]
    assert any("35,730" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_unknown_model(capsys):
    assert summary.main(["--model", "resnet81"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_table_has_the_reports_figures(monkeypatch, capsys):
    monkeypatch.setattr(models, "names", lambda: ["basic_net", "modified_net"])
    assert summary.main([]) == 0
    basic, modified = capsys.readouterr().out.splitlines()[2:4]
    assert basic.split() == [
        *("basic_net", "32x32", "10", "62,006", "0.248", "0.65", "9.9", "62,006", "003,"),
        *("Table", "3"),
    ]
    assert "0.153282" in modified


@pytest.mark.parametrize("name", reported.REPORTED)
def test_reported_models_exist(name):
    """With so many parameters; that they have as many as the registry says, tests/models holds."""
    assert models.REGISTRY[name].num_params == reported.REPORTED[name].params
