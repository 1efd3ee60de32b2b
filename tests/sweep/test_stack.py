"""A run in a sweep gives the numbers of that run alone, whichever way the runs are computed."""

import dataclasses
import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
import small_net
from quick_jit import quick_jit, quick_jit_float64

from cifar_jax import config as config_lib
from cifar_jax import data, metrics
from cifar_jax.models import inference
from cifar_jax.sweep import Sweep, cells, groups
from cifar_jax.sweep import stack as stack_lib
from cifar_jax.train import steps
from cifar_jax.train.hyper import make_hyper
from cifar_jax.train.monitors import PATIENCE
from cifar_jax.train.setup import build, initial_state

STEPS = 4
MOMENTUM = {"optimizer.momentum": 0.9}
RATE_AND_SMOOTHING = {"optimizer.learning_rate": 0.01, "loss.label_smoothing": 0.1}
DROPOUT_AND_DECAY = {"model.dropout": 0.25, "optimizer.weight_decay": 0.01}


pytestmark = pytest.mark.usefixtures("small_nets")


@functools.cache
def digits():
    return data.load("digits")


def make_group(model, cell_overrides):
    config = config_lib.default()
    config.update_from_flattened_dict(
        {
            "model.name": model,
            "dataset.name": "digits",
            "total_epochs": 2,
            "batch_size": 16,
            "optimizer.learning_rate": 0.003,
            "augment.crop_padding": 2,
            "schedule.name": "cosine",
        }
    )
    (group,) = groups.make_groups(cells.runs(Sweep(config_lib.check(config), cell_overrides), 2))
    return group


def make_run(group, turns):
    make_programs = functools.partial(stack_lib.make_programs, runs=len(group.runs), turns=turns)
    run = build(group.config, digits(), make_programs, group.dropout_from_hyper)
    return run, stack_lib.create(run, [each.config for each in group.runs])


def difference(ours, theirs):
    """Norm of the difference of two sets of parameters, relative to theirs.

    Of all together: where rounding tips a ReLU or a maximum over, a bias that is almost 0 changes a lot.
    """
    ours, theirs = (jax.flatten_util.ravel_pytree(tree)[0] for tree in (ours, theirs))
    return jnp.linalg.norm(ours - theirs) / jnp.maximum(jnp.linalg.norm(theirs), 1e-30)


def in_float64(tree):
    """The floating-point leaves in float64."""
    wide = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x  # noqa: E731
    return jax.tree.map(wide, tree)


@pytest.mark.parametrize(
    ("model", "other"),
    [
        (small_net.NAME, RATE_AND_SMOOTHING | DROPOUT_AND_DECAY),
        # basic_net's layers are looked at beside each other in models/test_registry.py.
        pytest.param("modified_net", DROPOUT_AND_DECAY, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.thorough
def test_every_run_is_that_run_alone(model, other, monkeypatch):
    """Seeds, rates, momentum, decay, smoothing, dropout: each on in some runs and off in others.

    In float64, where rounding tips no ReLU over: what is left apart would be another computation.
    """
    monkeypatch.setattr(inference, "normalize", normalize_in_float64)
    group = make_group(model, {"momentum": MOMENTUM, "other": other})
    assert group.dropout_from_hyper == ("model.dropout" in other)
    run, start = make_run(group, turns=False)
    order = run.programs.epoch_order(start.members.state.key, 0, len(run.train.labels))
    with jax.enable_x64(True):
        members = in_float64(start.members)
        recipe = wide_recipe(run)
        functions = stack_lib.StackedSteps(recipe, len(group.runs))
        step, counted = quick_jit_float64(functions.train_step), functions.no_metrics()
        for _ in range(STEPS):
            members, counted = step(members, counted, run.train, order)
        evaluated = quick_jit(functions.eval_step)(
            members.state.variables, functions.no_eval_metrics(), run.validation, 0
        )
        for i in (1, 2):
            alone = build(group.runs[i].config, digits())
            expected = in_float64(initial_state(alone))
            one = wide_recipe(alone)
            np.testing.assert_array_equal(
                order[i], alone.programs.epoch_order(expected.key, 0, len(run.train.labels))
            )
            step_alone, sums = quick_jit_float64(one.train_step), one.no_metrics()
            for _ in range(STEPS):
                expected, sums = step_alone(expected, sums, run.train, order[i])
            picked = stack_lib.pick(members.state, i)
            assert int(picked.step) == STEPS
            for name in ("params", "batch_stats"):
                assert difference(getattr(picked, name), getattr(expected, name)) < 1e-10
            np.testing.assert_allclose(
                stack_lib.pick(counted, i).compute()["loss"], sums.compute()["loss"], rtol=1e-6
            )
            theirs = quick_jit(one.eval_step)(
                expected.variables, one.no_eval_metrics(), run.validation, 0
            )
            np.testing.assert_array_equal(evaluated.confusion[i], theirs.confusion)
            np.testing.assert_allclose(evaluated.loss[i], theirs.loss, rtol=1e-6)
    kernels = np.asarray(jax.tree.leaves(members.state.params)[-1])
    assert len({kernel.tobytes() for kernel in kernels}) == len(group.runs)


def normalize_in_float64(images, mean, std, dtype):
    return (images.astype(jnp.float64) / 255 - jnp.asarray(mean)) / jnp.asarray(std)


def wide_recipe(run):
    model = run.recipe.model.clone(dtype=jnp.float64)
    return dataclasses.replace(run.recipe, model=model, dtype=jnp.float64)


@pytest.mark.thorough
def test_in_turns_the_numbers_are_the_very_same():
    group = make_group(
        small_net.NAME, {"a": MOMENTUM, "b": MOMENTUM | {"optimizer.learning_rate": 0.1}}
    )
    run, start = make_run(group, turns=True)
    order = run.programs.epoch_order(start.members.state.key, 1, len(run.train.labels))
    members, _ = run.programs.train_steps(start.members, run.train, order, STEPS)
    alone = build(group.runs[3].config, digits())
    expected = initial_state(alone)
    mine = alone.programs.epoch_order(expected.key, 1, len(run.train.labels))
    np.testing.assert_array_equal(order[3], mine)
    expected, _ = alone.programs.train_steps(expected, alone.train, mine, STEPS)
    jax.tree.map(np.testing.assert_array_equal, stack_lib.pick(members.state, 3), expected)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "turns",
    [False, pytest.param(True, marks=pytest.mark.thorough)],
    ids=["together", "turns"],
)
def test_a_run_that_diverges_or_stops_is_left_behind(turns):
    group = make_group(small_net.NAME, {"a": {}, "b": {"optimizer.learning_rate": 1e30}})
    run, start = make_run(group, turns)
    members = start.members
    stopping = members.state.early_stopping
    reason = jax.device_put(jnp.array([0, PATIENCE, 0, 0], jnp.int32), stopping.reason.sharding)
    members = members.replace(
        state=members.state.replace(early_stopping=stopping._replace(reason=reason))
    )
    before = jax.tree.map(np.array, members)
    orders = run.programs.epoch_order(members.state.key, 0, len(run.train.labels))
    for _ in range(2):
        members, sums = run.programs.train_steps(members, run.train, orders, 4)
    assert members.active.tolist() == [True, False, False, False]
    unchanged = [stack_lib.pick(each, 1) for each in (members, before)]
    jax.tree.map(np.testing.assert_array_equal, *unchanged)
    first = np.asarray(members.diverged)
    assert (
        first[0] == first[1] == metrics.NEVER and (first[2:] >= 1).all() and (first[2:] < 4).all()
    )
    alone = build(group.runs[0].config, digits())
    expected = initial_state(alone)
    for _ in range(2):
        expected, theirs = alone.programs.train_steps(expected, alone.train, orders[0], 4)
    assert difference(stack_lib.pick(members.state, 0).params, expected.params) < 1e-5
    ours = stack_lib.pick(sums, 0).compute()
    np.testing.assert_allclose(ours["loss"], theirs.compute()["loss"], rtol=1e-5)
    assert int(sums.loss.count[1]) == 0


@pytest.mark.thorough
def test_all_are_evaluated_as_alone():
    """A whole split, the last batch padded."""
    group = make_group(small_net.NAME, {"a": {}})
    run, start = make_run(group, turns=False)
    evaluated = run.programs.evaluate(start.members.state.variables, run.validation)
    alone = build(group.runs[1].config, digits())
    one = alone.programs.evaluate(initial_state(alone).variables, alone.validation)
    np.testing.assert_array_equal(evaluated.confusion[1], one.confusion)
    np.testing.assert_allclose(evaluated.loss[1], one.loss, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["sgd", pytest.param("rmsprop", marks=pytest.mark.thorough)])
def test_zero_computes_what_off_computes(name):
    """So a group may have momentum, decay and smoothing on where one of its runs has them."""
    config = make_group(small_net.NAME, {"a": {"optimizer.name": name}}).config
    off = build(config, digits())
    config.optimizer.momentum = config.optimizer.weight_decay = config.loss.label_smoothing = 0.5
    on = build(config, digits())
    order, sums = jnp.arange(len(off.train.labels)), metrics.TrainMetrics.empty()
    states = []
    for run in (off, on):
        step = quick_jit(functools.partial(steps.train_step, run.recipe))
        states.append(initial_state(run).replace(hyper=make_hyper(0.01)))
        for _ in range(4):
            states[-1], _ = step(states[-1], sums, run.train, order)
    assert difference(states[1].params, states[0].params) < 1e-6


@pytest.mark.thorough
def test_the_rate_is_read_from_hyper_only_where_told():
    """And a rate of 0 there computes what no dropout does."""
    config = make_group(small_net.NAME, {"a": {"model.dropout": 0.5}}).config
    run = build(config, digits())
    order, empty = jnp.arange(len(run.train.labels)), metrics.TrainMetrics.empty()
    start = initial_state(run)

    def losses(rates, **changes):
        recipe = dataclasses.replace(run.recipe, **changes)
        step = quick_jit(functools.partial(steps.train_step, recipe))
        for rate in rates:
            hyper = start.hyper._replace(dropout=jnp.float32(rate))
            _, sums = step(start.replace(hyper=hyper), empty, run.train, order)
            yield float(sums.compute()["loss"])

    without, half = losses((0.0, 0.5), dropout_from_hyper=True)
    assert list(losses((0.0, 0.5))) == pytest.approx([half, half], rel=1e-6)
    assert list(losses((0.3,), model=run.recipe.model.clone(dropout=0.0))) == pytest.approx(
        [without]
    )
    assert without != half
