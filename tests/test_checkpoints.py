"""Kept are the best and the last; what is read is what was written."""

import contextlib
import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_net import SIDE, SmallNet

from cifar_jax.errors import UserError
from cifar_jax.runs import checkpoints
from cifar_jax.train import optimizers, state
from cifar_jax.train.hyper import make_hyper


@pytest.fixture
def some_state():
    return jax.tree.map(jnp.copy, first_state())


@functools.cache
def first_state():
    return state.create_state(
        SmallNet(), optimizers.make_optimizer("adam"), make_hyper(0.1), 0, (SIDE, SIDE, 3), ema=True
    )


def save_all(folder, some_state, scores):
    with contextlib.closing(checkpoints.open_manager(folder)) as manager:
        for step, score in scores:
            numbered = some_state.replace(step=jnp.int32(step))
            checkpoints.save(manager, numbered, {"seconds": step / 3}, {"seed": 0}, score)
        checkpoints.wait(manager)
        return manager.best_step(), manager.latest_step(), sorted(manager.all_steps())


@pytest.mark.parametrize(
    ("scores", "best", "kept"),
    [
        ([(1, 0.1), (2, 0.5), (3, 0.3)], 2, [2, 3]),
        ([(1, 0.1), (2, 0.5), (3, 0.5)], 3, [3]),  # of equals, the later
        ([(1, -0.5), (2, -0.1), (3, None)], 2, [2, 3]),  # saved at a signal, not evaluated
        ([(1, 0.5), (2, None), (3, 0.2)], 1, [1, 3]),
        ([(1, float("-inf")), (2, 0.2)], 2, [2]),
    ],
)
def test_best_and_last_are_kept(tmp_path, some_state, scores, best, kept):
    assert save_all(tmp_path, some_state, scores) == (best, scores[-1][0], kept)


def test_without_validation_only_the_last_is_kept(tmp_path, some_state):
    *_, kept = save_all(tmp_path, some_state, [(1, None), (2, None), (3, None)])
    assert kept == [3]


def test_restored_is_saved_bit_for_bit(tmp_path, some_state):
    random = np.random.default_rng(0)
    noisy = jax.tree.map(
        lambda leaf: jnp.asarray(random.integers(0, 99, leaf.shape) / 7, leaf.dtype), some_state
    )
    save_all(tmp_path, noisy, [(5, 0.25)])
    with contextlib.closing(checkpoints.open_manager(tmp_path)) as manager:
        restored, record, about = checkpoints.restore(manager, some_state, 5)
    assert record == {"seconds": 5 / 3} and about == {"seed": 0}
    jax.tree.map(np.testing.assert_array_equal, restored, noisy.replace(step=jnp.int32(5)))


def test_a_save_is_not_changed_by_what_follows(tmp_path, some_state):
    """The arrays are copied before `save` returns: donating them at once must not matter."""
    expected = jax.tree.map(np.array, some_state)
    donate = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 + 7, tree), donate_argnums=0)
    with contextlib.closing(checkpoints.open_manager(tmp_path)) as manager:
        template = jax.tree.map(jnp.copy, some_state)
        checkpoints.save(manager, some_state, {}, {}, 0.0)
        jax.block_until_ready(donate(some_state))
        checkpoints.wait(manager)
        restored, *_ = checkpoints.restore(manager, template, 0)
    jax.tree.map(np.testing.assert_array_equal, restored, expected)


def test_a_checkpoint_of_another_version_is_said(tmp_path, some_state):
    """One that lacks fields, as those of before there were hyperparameters in it."""
    older = {
        name: getattr(some_state, name) for name in ("step", "params", "batch_stats", "opt_state")
    }
    with contextlib.closing(checkpoints.open_manager(tmp_path)) as manager:
        checkpoints.save(manager, Older(**older), {}, {}, 0.0)
        checkpoints.wait(manager)
        with pytest.raises(UserError, match="another version"):
            checkpoints.restore(manager, some_state, 0)


@flax.struct.dataclass
class Older:
    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: tuple
