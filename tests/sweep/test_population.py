"""A run in a sweep gives the numbers of that run alone, whichever way the runs are computed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit

from cifar_jax import config as config_lib
from cifar_jax import data, metrics, steps
from cifar_jax.early_stopping import PATIENCE
from cifar_jax.hyper import make_hyper
from cifar_jax.run import build, initial_state
from cifar_jax.sweep import Sweep, cells, groups, population

STEPS = 2 * (1295 // 64)  # two epochs
MOMENTUM = {"optimizer.momentum": 0.9}


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
            "batch_size": 64,
            "optimizer.learning_rate": 0.003,
            "augment.crop_padding": 2,
            "schedule.name": "cosine",
        }
    )
    (group,) = groups.make_groups(cells.runs(Sweep(config_lib.check(config), cell_overrides), 2))
    return group


def train_alone(config):
    """The state after two epochs, and the order of each."""
    run = build(config, digits())
    found, orders = initial_state(run), []
    for epoch in range(2):
        orders.append(np.asarray(run.programs.epoch_order(found.key, epoch, len(run.train.labels))))
        found, _ = run.programs.train_steps(found, run.train, orders[-1], STEPS // 2)
    return found, orders


def make_run(group, turns):
    stack = functools.partial(population.make_programs, runs=len(group.runs), turns=turns)
    run = build(group.config, digits(), stack, group.dropout_from_hyper)
    return run, population.create(run, [each.config for each in group.runs])


def train_group(group, turns):
    """The members after two epochs, their orders and the metrics of the last."""
    run, start = make_run(group, turns)
    members, orders, sums = start.members, [], None
    for epoch in range(2):
        keys = members.state.key
        orders.append(run.programs.epoch_order(keys, epoch, len(run.train.labels)))
        members, sums = run.programs.train_steps(members, run.train, orders[-1], STEPS // 2)
    return members, orders, sums


def difference(ours, theirs):
    """Norm of the difference of two sets of parameters, relative to theirs.

    Of all together: where rounding tips a ReLU or a maximum over, a bias that is almost 0 changes a lot.
    """
    ours, theirs = (np.concatenate([x.ravel() for x in jax.tree.leaves(x)]) for x in (ours, theirs))
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.mark.parametrize(
    ("model", "other"),
    [
        ("basic_net", {"optimizer.learning_rate": 0.01, "loss.label_smoothing": 0.1}),
        ("modified_net", {"model.dropout": 0.2, "optimizer.weight_decay": 0.01}),
    ],
)
def test_every_run_is_that_run_alone(model, other):
    """Seeds, rates, momentum, decay, smoothing, dropout: each on in some runs and off in others."""
    group = make_group(model, {"momentum": MOMENTUM, "other": other})
    assert group.dropout_from_hyper == ("model.dropout" in other)
    members, orders, _ = train_group(group, turns=False)
    for i in (1, 2):
        alone, expected = train_alone(group.runs[i].config)
        for epoch in range(2):
            np.testing.assert_array_equal(orders[epoch][i], expected[epoch])
        found = population.pick(members.state, i)
        assert difference(found.params, alone.params) < 1e-4
        if alone.batch_stats:  # they amplify what rounding tipped over
            assert difference(found.batch_stats, alone.batch_stats) < 1e-3
        assert int(found.step) == STEPS
    kernels = np.asarray(members.state.params["fc3"]["kernel"])
    assert len({kernel.tobytes() for kernel in kernels}) == len(group.runs)


def test_in_turns_the_numbers_are_the_very_same():
    group = make_group(
        "basic_net", {"a": MOMENTUM, "b": MOMENTUM | {"optimizer.learning_rate": 0.1}}
    )
    members, orders, _ = train_group(group, turns=True)
    alone, expected = train_alone(group.runs[3].config)
    np.testing.assert_array_equal(orders[1][3], expected[1])
    jax.tree.map(np.testing.assert_array_equal, population.pick(members.state, 3), alone)


@pytest.mark.parametrize("turns", [False, True], ids=["together", "turns"])
def test_a_run_that_diverges_or_stops_is_left_behind(turns):
    group = make_group("basic_net", {"a": {}, "b": {"optimizer.learning_rate": 1e30}})
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
    unchanged = [population.pick(each, 1) for each in (members, before)]
    jax.tree.map(np.testing.assert_array_equal, *unchanged)
    first = np.asarray(members.diverged)
    assert (
        first[0] == first[1] == metrics.NEVER and (first[2:] >= 1).all() and (first[2:] < 4).all()
    )
    alone = build(group.runs[0].config, digits())
    expected = initial_state(alone)
    for _ in range(2):
        expected, theirs = alone.programs.train_steps(expected, alone.train, orders[0], 4)
    assert difference(population.pick(members.state, 0).params, expected.params) < 1e-5
    found = population.pick(sums, 0).compute()
    np.testing.assert_allclose(found["loss"], theirs.compute()["loss"], rtol=1e-5)
    assert int(sums.loss.count[1]) == 0


def test_all_are_evaluated_as_alone():
    group = make_group("basic_net", {"a": {}})
    run, start = make_run(group, turns=False)
    found = run.programs.evaluate(start.members.state.variables, run.validation)
    alone = build(group.runs[1].config, digits())
    one = alone.programs.evaluate(initial_state(alone).variables, alone.validation)
    np.testing.assert_array_equal(found.confusion[1], one.confusion)
    np.testing.assert_allclose(found.loss[1], one.loss, rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_zero_computes_what_off_computes(name):
    """So a group may have momentum, decay and smoothing on where one of its runs has them."""
    config = make_group("basic_net", {"a": {"optimizer.name": name}}).config
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


def test_the_rate_is_read_from_hyper_only_where_told():
    """And a rate of 0 there computes what no dropout does."""
    config = make_group("modified_net", {"a": {"model.dropout": 0.5}}).config
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
