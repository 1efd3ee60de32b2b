"""Any values of a config's fields: refused in one message, or a run that can be begun."""

import jax
import pytest
from command_line import ROOT
from fuzzing import JUNK, check, fuzz
from hypothesis import given
from hypothesis import strategies as st

from cifar_jax import config as config_lib
from cifar_jax import data, train
from cifar_jax.train import epochs, hyper, monitors, setup, state

pytestmark = pytest.mark.fuzz

FIELDS = config_lib.fields()
# Where a value is a path, or a set that TFDS may know: what they name is other tests' matter.
ELSEWHERE = ("dataset.name", "dataset.data_dir", "compilation_cache", "model.weights")
CONFIG = str(ROOT / "configs/quickstart.py")
LARGE = {int: 10**12, float: 1e9}


def sound(field):
    """Values of a field that the schema takes, the ends of their range among them."""
    if field.choices:
        return st.sampled_from(field.choices)
    if field.kind is bool:
        return st.sampled_from(["true", "false"])
    if field.kind is tuple:
        of_one = st.integers(1, 30) if field.element is int else st.floats(0.5, 2)
        lists = st.lists(of_one, max_size=12, unique=True)
        return lists.map(lambda values: f"({''.join(f'{each},' for each in sorted(values))})")
    if field.kind is str:
        return st.sampled_from(["basic_net", "origin_net", "digits", ""])
    low, high = field.low or 0, LARGE[field.kind] if field.high is None else field.high
    of_one = st.integers if field.kind is int else st.floats
    return st.one_of(st.sampled_from([low, high]), of_one(low, min(high, 40))).map(str)


def overrides(values, most):
    """Command lines' overrides of some fields; `values` takes a field."""
    names = st.sets(
        st.sampled_from(sorted(FIELDS.keys() - set(ELSEWHERE))), min_size=1, max_size=most
    )
    drawn = names.flatmap(
        lambda names: st.fixed_dictionaries({name: values(FIELDS[name]) for name in sorted(names)})
    )
    return drawn.map(
        lambda by_name: [f"--config.{name}={value}" for name, value in by_name.items()]
    )


def begin(config, folder):
    """All of a training but the computing: steps, evaluation and decisions are traced."""
    run = setup.build(config, data.load(config.dataset.name))
    recipe = run.recipe
    shape, options = run.train.shape, setup.state_options(config)
    numbers = hyper.from_config(config)
    assert epochs.interval_length(run, 0) >= 1

    def first_epoch(key):
        start = state.initial_state(recipe.model, recipe.optimizer, numbers, key, shape, **options)
        order = recipe.epoch_order(key, 0, len(run.train.labels))
        last, _ = recipe.train_step(start, recipe.no_metrics(), run.train, order)
        split = run.validation or run.train
        recipe.eval_step(last.variables, recipe.no_eval_metrics(), split, 0)
        means = {"loss": 1.0, "accuracy": 0.5}
        return last.replace(**monitors.decide(config, last, means, means))

    start = jax.random.PRNGKey(config.seed)
    before = jax.eval_shape(first_epoch, start)
    assert before.step.dtype == "int32"


@fuzz(100)
@given(st.one_of(overrides(lambda field: JUNK, 3), overrides(sound, 6)))
def test_any_values(sandbox, monkeypatch, arguments):
    monkeypatch.setattr(train, "train_and_evaluate", lambda *_: None)
    check(sandbox.run("main", "--config", CONFIG, "--workdir", "runs/new", *arguments))


@fuzz(15)
@given(overrides(sound, 8))
def test_what_is_accepted_can_be_begun(sandbox, monkeypatch, arguments):
    monkeypatch.setattr(train, "train_and_evaluate", begin)
    check(sandbox.run("main", "--config", CONFIG, "--workdir", "runs/new", *arguments))
