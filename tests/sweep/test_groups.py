"""Runs that differ in numbers are one group; runs that differ in structure are not."""

import pytest

from cifar_jax import config as config_lib
from cifar_jax.machine import runtime
from cifar_jax.models import cost, count_params
from cifar_jax.sweep import Sweep, cells, groups, memory


def make(cell_overrides, **base):
    config = config_lib.default()
    config.update_from_flattened_dict({"model.name": "modified_net", **base})
    sweep = Sweep(config_lib.check(config), cell_overrides)
    return groups.make_groups(cells.runs(sweep, 2))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer.learning_rate", 0.5),
        ("optimizer.momentum", 0.9),
        ("optimizer.weight_decay", 0.1),
        ("loss.label_smoothing", 0.1),
        ("model.dropout", 0.1),
        ("log_every_steps", 7),
        ("reported.value", 71.2),
    ],
)
def test_numbers_share_a_group(field, value):
    (group,) = make({"as it is": {}, "changed": {field: value}})
    assert [run.name for run in group.runs] == [
        "as it is/0",
        "as it is/1",
        "changed/0",
        "changed/1",
    ]
    assert group.dropout_from_hyper == (field == "model.dropout")
    if field in groups.SWITCHES:
        assert config_lib.flatten(group.config)[field] == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.name", "basic_net"),
        ("optimizer.name", "adam"),
        ("schedule.name", "cosine"),
        ("loss.name", "focal"),
        ("batch_size", 64),
        ("total_epochs", 3),
        ("augment.flip", True),
        ("dtype", "bfloat16"),
        ("selection", "last"),
        ("early_stopping.patience", 2),
        ("dataset.split_seed", 1),
    ],
)
def test_structure_makes_groups(field, value):
    parts = make({"as it is": {}, "changed": {field: value}})
    assert [len(group.runs) for group in parts] == [2, 2]


def test_the_models_own_rate_and_the_same_one_written_out_are_one():
    (group,) = make({"own": {}, "written": {"model.dropout": 0.5}})
    assert not group.dropout_from_hyper


def test_a_group_that_needs_too_much_memory_is_split_evenly():
    cell_overrides = {f"c{i}": {"optimizer.learning_rate": 0.1 + i} for i in range(5)}
    (group,) = make(cell_overrides)
    parts = groups.split(group, 3)
    assert [len(part.runs) for part in parts] == [3, 3, 4]
    assert [run for part in parts for run in part.runs] == list(group.runs)
    assert len(groups.split(group, 1)) == 1 and len(groups.split(group, 10)) == 10


@pytest.mark.parametrize(
    ("sizes", "least", "count", "into"),
    [
        ([9], [1], 4, [4]),
        ([9], [3], 2, [3]),  # memory asks for more
        ([3, 3], [1, 1], 1, [1, 1]),
        ([8, 2, 2], [1, 1, 1], 5, [3, 1, 1]),
        ([2, 1], [1, 1], 100, [2, 1]),
    ],
)
def test_groups_are_split_until_there_are_as_many_as_asked_for(sizes, least, count, into):
    assert groups.parts(sizes, least, count) == into


@pytest.mark.thorough
def test_memory_grows_by_state_and_activations():
    (group,) = make({"sgd": {}}, **{"optimizer.momentum": 0.9})
    params = 4 * count_params("modified_net")
    # Parameters, momentum, the best ones, gradient and update; statistics and scalars are little.
    assert 5 * params <= memory.state_bytes(group.config, 10) < 5.1 * params
    (adam,) = make({"adam": {}}, **{"optimizer.name": "adam"})
    assert 6 * params <= memory.state_bytes(adam.config, 10) < 6.1 * params
    assert memory.working_bytes(group.config, 10) == 2 * cost.activation_bytes("modified_net", 128)
    for turns in (False, True):
        few, per_run = memory.most_runs(group.config, 10, 1000, 1e9, turns)
        many, _ = memory.most_runs(group.config, 10, 1000, 1e9 + 7.5 * per_run, turns)
        assert many - few in (7, 8)
    assert memory.most_runs(group.config, 10, 1000, 1, False)[0] == 1
    assert runtime.available_bytes() > 1e8
