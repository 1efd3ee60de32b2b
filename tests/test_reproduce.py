"""Records of reproductions, the tables of README and docs that they make, and what is still to run."""

import argparse
import json

import pytest
from command_line import ROOT

from cifar_jax import config as config_lib
from cifar_jax import reproduce
from cifar_jax.analysis import reproduction, reproduction_tables
from cifar_jax.config import experiments
from cifar_jax.config import reported as stated
from cifar_jax.console import tables
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


def rows(records, tabulate=reproduction_tables.all_trainings, key="`"):
    """The lines of a table, by what stands in `backquotes`."""
    table = tabulate(reproduction_tables.collect(records))
    return {line.split(key)[1]: line for line in tables.rows_in_markdown(table).splitlines()[2:]}


def test_readme_and_results_have_the_tables_of_the_records(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in reproduction_tables.TABLES:
        (tmp_path / name).write_text((ROOT / name).read_text())
    reproduction_tables.write(reproduction.read_records(), tmp_path)
    for name in reproduction_tables.TABLES:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), name


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
    monkeypatch.setattr(reproduction_tables, "write", lambda *_: None)
    trained = []
    monkeypatch.setattr("cifar_jax.train.train_and_evaluate", lambda *_: trained.append(1))
    arguments = argparse.Namespace(
        budget_minutes=1, data_dir="", workdir=str(tmp_path), data_name="CIFAR-10"
    )
    assert reproduce.run(todo, arguments, []) == (1, []) and len(trained) == 1


def test_a_run_that_diverges_is_told_at_the_end(monkeypatch, tmp_path, capsys):
    """... and keeps none of the others from being run."""
    monkeypatch.setattr(reproduction, "RECORDS", tmp_path / "records.jsonl")
    monkeypatch.setattr(reproduction_tables, "write", lambda *_: None)
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


@pytest.mark.thorough
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


def test_one_row_a_report_is_the_best_reported_of_what_ran():
    table = rows([], reproduction_tables.reports)
    assert (
        len(table) == 5
        and "| 0 of 10 | `resnet10.py:plateau` | 92.09 | not yet run | 0 |"
        in table["resnet10.py:plateau"]
    )
    records = [record(seed=seed, accuracy=0.6 + seed / 100) for seed in range(3)]
    table = rows([*records, record("plain_cnn.py:model_2")], reproduction_tables.reports)
    # 61 +- 4.303 * 1 / sqrt(3), Student's t with two degrees of freedom
    assert (
        "| 1 of 10 | `basic_net.py` | 62.06 | **61.00** [58.52, 63.48] | 3 |"
        in table["basic_net.py"]
    )
    assert "| **60.00** (chosen on the test set) | 1 |" in table["plain_cnn.py:model_2"]


def test_report_000_class_by_class_and_what_stopped_it():
    accuracies = [0.5] * 5 + [0.6] * 5
    of_run = {"per_class_accuracy": accuracies, "epochs": 7, "stopped_early": "a gap of 11 points"}
    trained = [record("plain_cnn.py:model_2", seed, 0.55 + seed / 50, **of_run) for seed in (1, 0)]
    trained[0] |= {"epochs": 25, "stopped_early": None, "per_class_accuracy": accuracies[::-1]}
    table = rows(trained, reproduction_tables.classes, "| ")
    assert "| 83.3 |  | 88.3 | 55.0 ± 7.1 | 73.3 |  | 79.3 |  |" in table["airplane "]
    assert "| 77.65 | not yet run | 75.22 | 56.00 ± 1.41 | 75.36 | not yet run |" in table["all "]
    stops = reproduction_tables.stops(reproduction_tables.collect(trained)).rows
    assert [row[1:] for row in stops if "model_2" in row[0]] == [
        ("0", "7 of 25", "a gap of 11 points"),
        ("1", "25 of 25", "no rule: it had all its epochs"),
    ]
    assert [row[3] for row in stops if "model_2" not in row[0]] == ["not yet run"] * 3


def test_the_classes_stand_in_the_order_of_the_data_set():
    """... and their means are as docs/results.md says of two models, and the report's totals of the others."""
    about = json.loads((ROOT / "cifar_jax/pretrained/speedrun.json").read_text())
    assert list(stated.CLASSES) == about["dataset"]["class_names"]
    means = [sum(column) / 10 for column in zip(*stated.CLASSES.values(), strict=True)]
    assert means == pytest.approx([77.02, 75.65, 75.36, 78.83])
    assert "mean of 77.02 and 75.65" in (ROOT / "docs/results.md").read_text()


def test_marks_that_are_missing():
    table = reproduction_tables.stops([])
    with pytest.raises(UserError, match="a.md has no lines <!-- stops: begin"):
        reproduction_tables.between_marks("a.md", "nothing", "stops", table)
    text = "before\n<!-- stops: begin -->\nold\n<!-- stops: end -->\nafter\n"
    made = reproduction_tables.between_marks("a.md", text, "stops", table)
    assert made.startswith("before\n") and made.endswith("\nafter\n") and "old" not in made


def test_names_that_do_not_exist(capsys):
    assert reproduce.main(["--list", "--reports", "007"]) == 2
    assert "no report '007'" in capsys.readouterr().err
    assert reproduce.main(["--list", "--experiments", "lr_0.02"]) == 2
    assert "did you mean `lr_0.0" in capsys.readouterr().err
