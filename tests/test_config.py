"""The schema: every field can be set, and whatever is wrong is refused with the nearest valid name."""

import json
import pathlib

import pytest

from cifar_jax import config as config_lib
from cifar_jax import main
from cifar_jax.config import loading, named, rules
from cifar_jax.errors import ConfigError
from cifar_jax.train import augment, losses, optimizers, policies, schedules

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted((ROOT / "configs").glob("*.py"))
FIELDS = config_lib.fields()


def parse(*arguments, file="configs/default.py"):
    return main.parse(["main", "--config", str(ROOT / file), "--workdir", "w", *arguments])


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_config_file_passes_the_check(file):
    config, workdir = parse(file=file)
    assert workdir == "w"
    assert config_lib.flatten(config).keys() == FIELDS.keys()


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_a_config_of_the_package_is_found_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_lib.load(name) == config_lib.load(ROOT / f"configs/{name}.py")


def test_a_variant_goes_with_a_name_and_a_file_goes_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_lib.load("wide_net:gap").model.name == "gap_net"
    text = "from cifar_jax import config\n\ndef get_config():\n    return config.load('resnet18')\n"
    (tmp_path / "wide_net").write_text(text)
    assert config_lib.load("wide_net").model.name == "resnet18"


@pytest.mark.parametrize(
    ("given", "sweep", "said"),
    [
        ("quikstart", False, "did you mean `quickstart`"),
        ("configs/resnet18_dw.py", False, "did you mean `resnet18_dw`"),
        ("modifed_net_lr", True, "did you mean `modified_net_lr`"),
        ("../setup", False, "the nearest are"),
    ],
)
def test_a_name_of_no_config_is_refused_with_the_nearest(tmp_path, monkeypatch, given, sweep, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"no config file {given}, .*{said}"):
        named.find(given, sweep)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_a_default_that_fits_and_is_documented(name):
    field = FIELDS[name]
    assert field.doc.endswith((".", ")")) and field.kind in (int, float, str, bool, tuple)
    assert (field.kind is tuple) == (field.element is not None)
    if not field.optional:
        assert loading._checked(name, field.default, field) == field.default
    assert f"--config.{name}=" in config_lib.describe()


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("total_epoch", "total_epochs"),
        ("optimizer.learning_rte", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("datset.name", "dataset.name"),
        ("model.nme", "model.name"),
    ],
)
def test_unknown_field_names_the_nearest(name, suggestion):
    with pytest.raises(ConfigError, match=f"did you mean `{suggestion}`"):
        parse(f"--config.{name}=1")
    section, _, leaf = name.rpartition(".")
    with pytest.raises(ConfigError, match=f"did you mean `{suggestion}`"):
        config_lib.check({section: {leaf: 1}} if section else {leaf: 1})


@pytest.mark.parametrize(
    "override",
    [
        "seed=abc",
        "seed=1.5",
        "seed=-1",
        "tensorboard=maybe",
        "batch_size=0",
        "optimizer.learning_rate=fast",
        "optimizer.learning_rate=nan",
        "optimizer.learning_rate=inf",
        "optimizer.learning_rate=-0.1",
        "dtype=float16",
        "optimizer.name=sdg",
        "dataset.validation_fraction=1",
        "dataset=cifar10",
        "model.dropout=1.5",
        "schedule.factor=1",
        "schedule.milestones=3",
        "schedule.milestones=(3.5,)",
        "schedule.milestones=(0,)",
        "schedule.drop_epochs=0",
        "optimizer.weight_decay_mode=l1",
        "loss.name=hinge",
        "loss.label_smoothing=1.5",
        "loss.class_weights=(1,-1)",
        "loss.class_weights=heavy",
        "loss.class_weights=('a',)",
        "ema.decay=1",
        "augment.mixup_alpha=-1",
        "augment.policy=autoaugment",
        "augment.operations=0",
        "augment.magnitude=31",
        "augment.erasing=1.5",
        "optimizer.layer_factors=stem",
        "optimizer.layer_factors=stem=101",
        "early_stopping.monitor=test_accuracy",
        "early_stopping.max_gap=101",
        "=1",
        "total_epochs=99999999999999999999",
    ],
)
def test_wrong_value_is_refused(override):
    with pytest.raises(ConfigError):
        parse(f"--config.{override}")


@pytest.mark.parametrize(
    "overrides",
    [
        {"schedule.name": "plateau", "dataset.validation_fraction": "0", "selection": "last"},
        {"selection": "validation", "dataset.validation_fraction": "0"},
        {"selection": "test"},
        {"optimizer.name": "adam", "optimizer.momentum": "0.9"},
        {"schedule.name": "plateau", "schedule.warmup_epochs": "1"},
        {"total_epochs": "2", "schedule.warmup_epochs": "3"},
        {"schedule.name": "one_cycle", "schedule.warmup_epochs": "1"},
        {"schedule.name": "multistep"},
        {"schedule.milestones": "(3,)"},
        {"schedule.name": "multistep", "schedule.milestones": "(5, 3)"},
        {"schedule.name": "step", "schedule.milestones": "(3, 5)"},
        {"schedule.name": "multistep", "schedule.milestones": "(3, 3)"},
        {"optimizer.nesterov": "true"},
        {"optimizer.nesterov": "true", "optimizer.name": "rmsprop", "optimizer.momentum": "0.9"},
        {"optimizer.name": "adamw", "optimizer.weight_decay_mode": "l2"},
        {"early_stopping.patience": "3", "dataset.validation_fraction": "0", "selection": "last"},
        {"early_stopping.max_gap": "10", "dataset.validation_fraction": "0", "selection": "last"},
        {"early_stopping.min_delta": "0.1"},
        {"augment.flip_mode": "alternating"},
        {"augment.magnitude": "5"},
        {"augment.policy": "trivialaugment", "augment.operations": "3"},
        {"parallel.backend": "pmap", "augment.mixup_alpha": "0.2"},
        {"parallel.backend": "pmap", "parallel.dataset": "sharded"},
        {"parallel.backend": "pmap", "dataset.residency": "stream"},
        {"parallel.backend": "pmap", "loss.class_weights": "(1, 2)"},
        {"parallel.batch_norm": "per_device", "loss.class_weights": "(1, 2)"},
        {"accumulate_steps": "2", "loss.class_weights": "(1, 2)"},
    ],
)
def test_contradiction_is_refused(overrides):
    with pytest.raises(ConfigError):
        parse(*(f"--config.{name}={value}" for name, value in overrides.items()))


def test_what_is_gone_is_said():
    with pytest.raises(ConfigError, match="config.schedule.mode is gone: leave it out"):
        parse("--config.schedule.mode=max")


@pytest.mark.parametrize(
    ("override", "new"),
    [("schedule.name=piecewise", "'step'"), ("optimizer.decay=l2", "optimizer.weight_decay_mode")],
)
def test_an_old_name_is_refused_with_the_new_one(override, new):
    with pytest.raises(ConfigError, match=f"is now called {new}"):
        parse(f"--config.{override}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"name": "piecewise", "mode": "min"}, {"name": "step"}),
        ({"name": "step", "milestones": [3, 5]}, {"name": "multistep", "milestones": (3, 5)}),
        ({"name": "step", "milestones": []}, {"name": "step"}),
    ],
)
def test_a_record_is_read_by_the_new_names(old, new):
    config = config_lib.default()
    config.schedule.update(new)
    config.optimizer.weight_decay_mode = "decoupled"
    recorded = {"schedule": old, "optimizer": {"decay": "decoupled"}}
    assert config_lib.of_record(recorded) == config
    assert config_lib.differing(recorded, config) == []


def test_overrides_reach_their_fields():
    config, _ = parse(
        "--config.seed=3",
        "--config.model.dropout=0.25",
        "--config.optimizer.learning_rate=1",
        "--config.augment.flip=true",
        "--config.dataset.name=digits",
    )
    assert config.seed == 3 and config.model.dropout == 0.25 and config.augment.flip is True
    assert config.optimizer.learning_rate == 1.0 and config.dataset.name == "digits"


def test_tuples_are_given_as_on_a_command_line_and_in_a_file():
    config, _ = parse(
        "--config.schedule.name=multistep",
        "--config.schedule.milestones=(3, 5)",
        "--config.loss.class_weights=(1, 2.5)",
    )
    assert config.schedule.milestones == (3, 5) and config.loss.class_weights == (1.0, 2.5)
    default = config_lib.default()
    default.schedule.name, default.schedule.milestones = "multistep", [3, 5]
    assert config_lib.check(default).schedule.milestones == (3, 5)
    # A workdir's config.json has lists for them.
    stored = json.loads(json.dumps(config.to_dict()))
    assert config_lib.differing(stored, config) == []
    stored["schedule"]["milestones"] = [3]
    assert config_lib.differing(stored, config) == [("schedule.milestones", (3,), (3, 5))]


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("optimizer.name", optimizers.OPTIMIZERS),
        ("schedule.name", schedules.SCHEDULES),
        ("loss.name", losses.LOSSES),
        ("augment.flip_mode", augment.FLIP_MODES),
        ("augment.policy", policies.POLICIES),
    ],
)
def test_choices_are_what_is_registered(name, registry):
    assert FIELDS[name].choices == tuple(registry)


def test_momentum_is_for_those_that_take_it():
    takes = [name for name, entry in optimizers.OPTIMIZERS.items() if entry.takes_momentum]
    assert tuple(takes) == rules.WITH_MOMENTUM


def test_magnitude_is_for_those_that_take_it():
    takes = [name for name, each in policies.POLICIES.items() if each and each.takes_magnitude]
    assert tuple(takes) == rules.WITH_MAGNITUDE
    parse("--config.augment.policy=randaugment", "--config.augment.magnitude=5")


def test_wrong_type_in_a_config_file_is_refused():
    with pytest.raises(ConfigError, match="batch_size takes a value of type int"):
        config_lib.check({"batch_size": "8"})
    with pytest.raises(ConfigError, match="total_epochs takes a value of type int, not True"):
        config_lib.check({"total_epochs": True})


def test_a_section_is_no_value():
    with pytest.raises(ConfigError, match="is a section"):
        config_lib.check({"dataset": "cifar10"})


def test_differing_names_only_what_changes_the_result():
    old, new = config_lib.default(), config_lib.default()
    new.seed, new.tensorboard, new.dataset.data_dir = 1, False, "/elsewhere"
    assert config_lib.differing(old.to_dict(), new) == [("seed", 0, 1)]
    # A run of a version that did not have a field yet goes on, unless the field is now set.
    older = old.to_dict()
    del older["selection"], older["seed"]
    assert config_lib.differing(older, new) == [("seed", 0, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir", "w"], "--config=FILE is missing"),
        (["--config", str(FILES[0])], "--workdir=FOLDER is missing"),
        (["--config", "no/such.py", "--workdir", "w"], "no/such.py"),
        (["--config", str(FILES[0]), "--workdir", "w", "--wrkdir=x"], "wrkdir"),
        (["--config", str(FILES[0]), "--workdir", "w", "stray"], "unexpected argument 'stray'"),
    ],
)
def test_wrong_command_line_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        main.parse(["main", *arguments])


@pytest.mark.parametrize(
    "text",
    [
        "def get_config(:",
        "x = 1",
        "def get_config():\n    raise ValueError('broken')",
        "from cifar_jax.config import default\n"
        "def get_config():\n    c = default()\n    c.seeed = 1\n    return c",
        "def get_config():\n    return 3",
        "def get_config():\n    return {3: 4}",
        "raise SystemExit(0)",
    ],
    ids=["syntax", "no get_config", "raises", "misspelt", "no dict", "number", "exits"],
)
def test_broken_config_file_is_refused(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError):
        main.parse(["main", "--config", str(path), "--workdir", "w"])
