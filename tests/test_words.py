"""Words of other trainers lead to our fields, and no message lists them all."""

import pytest
from command_line import ROOT

from cifar_jax import config as config_lib
from cifar_jax import errors, main
from cifar_jax.config import fields, words
from cifar_jax.errors import ConfigError

QUICKSTART = ["main", "--config", str(ROOT / "configs/quickstart.py"), "--workdir", "unused"]
# What the issue names, and flags of timm and arguments of Lightning.
TYPED = {
    "lr": "optimizer.learning_rate",
    "epochs": "total_epochs",
    "wd": "optimizer.weight_decay",
    "bs": "batch_size",
    "image_size": "dataset.image_size",
    "mixup": "augment.mixup_alpha",
    "ema": "ema.decay",
    "dropout": "model.dropout",
    "weight-decay": "optimizer.weight_decay",
    "batch-size": "batch_size",
    "warmup-epochs": "schedule.warmup_epochs",
    "sched": "schedule.name",
    "opt": "optimizer.name",
    "smoothing": "loss.label_smoothing",
    "img-size": "dataset.image_size",
    "model-ema-decay": "ema.decay",
    "max_epochs": "total_epochs",
    "accumulate_grad_batches": "accumulate_steps",
    "precision": "dtype",
    "aa": "augment.policy",
    "auto_augment": "augment.policy",
    "rand-augment": "augment.policy",
    "reprob": "augment.erasing",
    "random_erasing": "augment.erasing",
    "layer-decay": "optimizer.layer_factors",
}


def test_every_word_stands_for_a_field():
    assert words.WORDS.keys() <= fields().keys()
    every = [word for each in words.WORDS.values() for word in each.split()]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("word", TYPED)
def test_what_people_type(word):
    field, sections = TYPED[word], {name.split(".")[0] for name in fields() if "." in name}
    with pytest.raises(ConfigError, match=f"--{word}; did you mean `--config.{field}`"):
        main.parse([*QUICKSTART, f"--{word}=0.1"])
    name = word.replace("-", "_")
    if name not in fields() and name not in sections:
        with pytest.raises(ConfigError, match=f"`{name}`; did you mean `{field}`"):
            main.parse([*QUICKSTART, f"--config.{name}=0.1"])
        config = config_lib.default()
        config[name] = 0.1
        with pytest.raises(ConfigError, match=f"did you mean `{field}`"):
            config_lib.check(config)


@pytest.mark.parametrize(("word", "flag"), [("output", "--workdir"), ("cfg", "--config")])
def test_flags_of_the_command(word, flag):
    with pytest.raises(ConfigError, match=f"did you mean `{flag}`"):
        main.parse([*QUICKSTART, f"--{word}=x"])


def test_an_unknown_word_gets_three_of_many():
    with pytest.raises(ConfigError) as caught:
        main.parse([*QUICKSTART, "--config.zzzzz=1"])
    message = str(caught.value)
    assert message.count(", ") == 3 and f"there are {len(fields())}" in message


def test_few_names_are_all_listed():
    assert errors.nearest("zzz", ["one", "two"]) == "known: one, two"
    assert errors.nearest("learning_rate", fields()) == "did you mean `optimizer.learning_rate`?"
