"""What a sweep trains: names, seeds, and what is refused."""

import math

import numpy as np
import pytest
from command_line import ROOT

from cifar_jax import config as config_lib
from cifar_jax.errors import ConfigError
from cifar_jax.sweep import (
    Sweep,
    __main__,
    cells,
    choice,
    grid,
    log_uniform,
    random_search,
    uniform,
)

QUICKSTART = ("sweep", "--config", str(ROOT / "configs/sweeps/quickstart.py"), "--workdir", "w")


def test_a_grid_is_every_combination_under_a_readable_name():
    axes = {"optimizer.learning_rate": [0.01, 1e-5], "model.name": ["basic_net", "wide_net"]}
    cells = grid(axes)
    assert list(cells) == [
        "lr_0.01-model_basic_net",
        "lr_0.01-model_wide_net",
        "lr_1e-05-model_basic_net",
        "lr_1e-05-model_wide_net",
    ]
    assert cells["lr_1e-05-model_wide_net"] == {
        "optimizer.learning_rate": 1e-5,
        "model.name": "wide_net",
    }
    assert list(grid({"schedule.milestones": [(3, 6)], "augment.flip": [True]})) == [
        "milestones_3x6-flip_true"
    ]
    # Seven digits and more are not rounded away.
    assert list(grid({"ema.decay": [0.99999901]})) == ["ema_0.99999901"]
    with pytest.raises(ConfigError, match="two cells"):
        grid({"optimizer.momentum": [0.9, 0.9]})


def test_random_search_draws_the_same_from_a_seed_within_its_bounds():
    distributions = {
        "optimizer.learning_rate": log_uniform(1e-4, 1e-1),
        "optimizer.momentum": uniform(0.5, 0.9),
        "optimizer.name": choice(["sgd", "rmsprop"]),
    }
    cells = random_search(distributions, 200, seed=3)
    assert cells == random_search(distributions, 200, seed=3)
    assert cells != random_search(distributions, 200, seed=4)
    rates = np.array([each["optimizer.learning_rate"] for each in cells.values()])
    assert rates.min() >= 1e-4 and rates.max() <= 1e-1
    # Half of log-uniform draws lie below the geometric mean: 100 +- 7 of 200.
    assert 70 < (rates < math.sqrt(1e-5)).sum() < 130
    assert {each["optimizer.name"] for each in cells.values()} == {"sgd", "rmsprop"}


def test_every_cell_gets_the_seeds_and_its_values():
    base = config_lib.default()
    base.seed = 5
    sweep = Sweep(
        config_lib.check(base), {"a": {"model.dropout": 0.1}, "b": {"augment.flip": True}}
    )
    runs = cells.runs(sweep, 2)
    assert [run.name for run in runs] == ["a/5", "a/6", "b/5", "b/6"]
    assert [run.config.seed for run in runs] == [5, 6, 5, 6]
    assert [run.config.model.dropout for run in runs] == [0.1, 0.1, None, None]
    assert runs[2].config.augment.flip and not sweep.base.augment.flip


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimizer.lerning_rate": 0.1}, "cell x: .*did you mean `optimizer.learning_rate`"),
        ({"learning_rate": 0.1}, "did you mean `optimizer.learning_rate`"),
        ({"optimizer.name": "sdg"}, "did you mean `sgd`"),
        ({"optimizer.learning_rate": "fast"}, "takes a value of type float"),
        ({"optimizer.momentum": 2.0}, "above its greatest"),
        ({"schedule.name": "multistep"}, "milestones"),
        ({"seed": 3}, "--runs"),
    ],
)
def test_a_wrong_cell_is_refused_by_name(overrides, message):
    with pytest.raises(ConfigError, match=message):
        cells.runs(Sweep(config_lib.default(), {"x": overrides}), 1)


def test_the_command_line_changes_the_base_of_all_cells():
    sweep, given = __main__.parse([*QUICKSTART, "--runs", "3", "--config.model.name=wide_net"])
    assert given.runs == 3 and given.memory_gb is None and given.workdir == "w"
    assert all(run.config.model.name == "wide_net" for run in cells.runs(sweep, 1))
    assert sweep.baseline in sweep.cells


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.optimizer.learning_rate=3"], "set by the sweep itself"),
        (["--config.modell.name=x"], "did you mean `model.name`"),
        (["--rnus=3"], "did you mean `runs`"),
        (["--runs=0"], "runs"),
        (["--runs=many"], "runs"),
        (["stray"], "unexpected argument 'stray'"),
        (["--config.dataset.validation_fraction=0"], "selection=validation needs"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        __main__.parse([*QUICKSTART, *arguments])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "must return"),
        ("return Sweep(default(), {})", "must return"),
        ("return Sweep(default(), {'ab': {}}, baseline='ba')", "did you mean `ab`"),
    ],
)
def test_a_file_that_gives_no_sweep_is_refused(tmp_path, body, message):
    path = tmp_path / "sweep.py"
    imports = "from cifar_jax.config import default\nfrom cifar_jax.sweep import Sweep\n"
    path.write_text(f"{imports}def get_sweep():\n    {body}\n")
    with pytest.raises(ConfigError, match=message):
        cells.load(path)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/sweeps").glob("*.py")), ids=lambda p: p.stem
)
def test_the_sweeps_that_come_with_it_are_valid(path):
    sweep = cells.load(path)
    assert len(cells.runs(sweep, 2)) == 2 * len(sweep.cells)
    assert cells.load(path.stem).cells == sweep.cells


def test_table_8_of_report_001():
    sweep = cells.load(ROOT / "configs/sweeps/modified_net_lr.py")
    rates = {
        run.cell: (run.config.optimizer.learning_rate, run.config.reported.value)
        for run in cells.runs(sweep, 1)
    }
    assert rates == {
        "lr_0.0001": (0.0001, 65.21),
        "lr_0.0005": (0.0005, 69.62),
        "baseline": (0.001, 71.2),
        "lr_0.005": (0.005, 72.8),
        "lr_0.01": (0.01, 71.49),
    }
