"""Records of reproductions, the README's table that they make, and what is still to run."""

import argparse
import json

import pytest
from command_line import ROOT

from cifar_jax import config as config_lib
from cifar_jax import reproduce
from cifar_jax.analysis import reproduction
from cifar_jax.config import experiments
from cifar_jax.errors import TrainingDiverged, UserError


def record(name="basic_net.py", seed=0, accuracy=0.6, **values):
    config = config_lib.load(ROOT / "configs" / name)
    config.seed = seed
    numbers = {"accuracy": accuracy, "best_accuracy": accuracy + 0.01, "last_accuracy": accuracy}
    return {
        "config": name,
        "seed": seed,
        "values": config.to_dict(),
        "data": "CIFAR-10",
        "hardware": "a machine",
        "f1": accuracy - 0.1,
        **numbers,
        **values,
    }


def rows(records):
    return {line.split("`")[1]: line for line in reproduction.table(records).splitlines()[2:]}


def test_readme_has_the_table_of_the_records():
    text = (ROOT / "README.md").read_text()
    _, _, rest = text.partition(reproduction.BEGIN)
    shown, end, _ = rest.partition(reproduction.END)
    assert end and shown.strip() == reproduction.table(reproduction.read_records())


def test_records_are_of_the_configs_as_they_are():
    """A record whose config has changed since is no record of it any more: it is shown nowhere."""
    for each in reproduction.read_records():
        config = config_lib.load(experiments.CONFIGS / each["config"])
        assert reproduction.is_recorded([each], config, each["seed"]), each["config"]


def test_table_has_mean_deviation_and_n():
    table = rows([record(seed=seed, accuracy=0.6 + seed / 100) for seed in range(3)])
    assert len(table) == 34
    assert "| 62.06 | **61.00 ± 1.00** | 3 | 62.00 ± 1.00 | 61.00 ± 1.00 |" in table["basic_net.py"]
    assert "| 77.91 | not yet run | 0 |" in table["wide_net.py:wide"]
    assert "**60.00** | 1 |" in rows([record()])["basic_net.py"]


def test_a_reported_f1_is_compared_with_ours():
    row = rows([record("modified_net.py:origin", accuracy=0.6)])["modified_net.py:origin"]
    assert "| 55.21 (F1) | **50.00** | 1 | 61.00 | 60.00 |" in row


def test_a_choice_on_the_test_set_is_said():
    table = rows([record("plain_cnn.py:model_2"), record()])
    assert "**60.00** (chosen on the test set) |" in table["plain_cnn.py:model_2"]
    assert "chosen" not in table["basic_net.py"]


def test_records_of_another_config_do_not_count():
    old = record()
    old["values"]["total_epochs"] = 7
    assert "not yet run" in rows([old])["basic_net.py"]
    todo = reproduction.pending(reproduce.select("003", "basic"), 2, [old, record(seed=1)])
    assert [(each.config, seed) for each, seed in todo] == [("basic_net.py", 0)]


def test_a_training_that_two_tables_print_is_run_once(monkeypatch, tmp_path):
    """Report 001: the modified net of Table VII is that of 0.0001 in Table VIII."""
    table = rows([record("modified_net.py:lr_0.0001", accuracy=0.7)])
    assert "| **70.00** | 1 |" in table["modified_net.py:lr_0.0001"]
    assert "| 65.36 (F1) | **60.00** | 1 |" in table["modified_net.py:modified"]
    todo = reproduction.pending(reproduce.select("001", "lr_0.0001,modified"), 1, [])
    assert len(todo) == 2
    recorded = record("modified_net.py:lr_0.0001")
    monkeypatch.setattr(reproduction, "to_record", lambda *_: recorded)
    monkeypatch.setattr(reproduction, "RECORDS", tmp_path / "records.jsonl")
    monkeypatch.setattr(reproduction, "write_table", lambda *_: None)
    trained = []
    monkeypatch.setattr("cifar_jax.train.train_and_evaluate", lambda *_: trained.append(1))
    arguments = argparse.Namespace(
        budget_minutes=1, data_dir="", workdir=str(tmp_path), data_name="CIFAR-10"
    )
    assert reproduce.run(todo, arguments, []) == (1, []) and len(trained) == 1


def test_a_run_that_diverges_is_told_at_the_end(monkeypatch, tmp_path, capsys):
    """... and keeps none of the others from being run."""
    monkeypatch.setattr(reproduction, "RECORDS", tmp_path / "records.jsonl")
    monkeypatch.setattr(reproduction, "write_table", lambda *_: None)
    monkeypatch.setattr(reproduction, "read_records", lambda: [])
    monkeypatch.setattr(reproduction, "to_record", lambda name, *_: record(name))

    def trained(config, folder):
        if config.optimizer.name == "rmsprop":
            raise TrainingDiverged("the loss became NaN or infinite at step 7")

    monkeypatch.setattr("cifar_jax.train.train_and_evaluate", trained)
    options = ("--reports", "001", "--experiments", "adam,rmsprop,adagrad", "--seeds", "1")
    assert reproduce.main([*options, "--workdir", str(tmp_path)]) == 3
    said = capsys.readouterr()
    assert "2 runs recorded, 0 to do" in said.out and "step 7" in said.out
    assert "rmsprop (seed 0)" in said.err
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 2


def test_cheapest_first_and_seed_by_seed():
    todo = reproduction.pending(reproduce.select("003", ""), 2, [])
    names = [each.id for each, _ in todo]
    assert [seed for _, seed in todo] == [0] * 10 + [1] * 10
    assert names[:10] == names[10:] and names[0] == "basic"
    assert names.index("resnet18_dw") < names.index("resnet10") < names.index("resnet18_adam")


@pytest.mark.thorough
def test_a_run_becomes_a_record(small_config, tmp_path):
    from cifar_jax import train

    summary = train.train_and_evaluate(small_config, tmp_path / "run")
    entry = reproduction.to_record("some.py", summary, "digits")
    test = summary["checkpoints"]["best"]["test"]
    assert entry["accuracy"] == summary["test_accuracy"] == entry["best_accuracy"]
    assert entry["f1"] == test["f1"] and len(entry["per_class_accuracy"]) == 10
    read = json.loads(json.dumps(entry))
    assert reproduction.is_recorded([read], small_config, small_config.seed)
    assert not reproduction.is_recorded([read], small_config, seed=1)


def test_marks_that_are_missing(tmp_path):
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(UserError, match="no lines"):
        reproduction.write_table(tmp_path / "README.md", [])
    (tmp_path / "README.md").write_text(
        f"before\n{reproduction.BEGIN}\nold\n{reproduction.END}\nafter\n"
    )
    reproduction.write_table(tmp_path / "README.md", [])
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text


def test_names_that_do_not_exist(capsys):
    assert reproduce.main(["--list", "--reports", "007"]) == 2
    assert "no report '007'" in capsys.readouterr().err
    assert reproduce.main(["--list", "--experiments", "lr_0.02"]) == 2
    assert "did you mean `lr_0.0" in capsys.readouterr().err
