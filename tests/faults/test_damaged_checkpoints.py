"""Checkpoints cut short, emptied, with a flipped bit or without a file: what is restored is what was saved.

Orbax alone restores a flipped bit of an array or of a score without a word.
"""

import contextlib
import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from damages import DAMAGES, arrays_of, files_of, flip_bit, truncate

from cifar_jax import models
from cifar_jax.errors import UserError
from cifar_jax.runs import checkpoints, checksums, damage, reader
from cifar_jax.train import optimizers, state
from cifar_jax.train.hyper import make_hyper

ABOUT = {"seed": 0}


@functools.cache
def some_state(step):
    """Of every value another one, so that nothing damaged can be what it was by chance."""
    start = state.create_state(
        models.create("basic_net"),
        optimizers.make_optimizer("adam"),
        make_hyper(0.1),
        0,
        (32, 32, 3),
    )
    random = np.random.default_rng(step)
    noisy = jax.tree.map(lambda x: jnp.asarray(random.random(x.shape), x.dtype), start)
    return noisy.replace(step=jnp.int32(step))


def record(step):
    return {"seconds": step / 3}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints 1, the best, and 2, the last."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    with checkpoints.opened(folder, pytest.fail) as manager:
        for step, score in ((1, 0.5), (2, 0.3)):
            checkpoints.save(manager, some_state(step), record(step), ABOUT, score)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of `saved` to be damaged."""
    return shutil.copytree(saved, tmp_path / "checkpoints")


def restore_newest(folder):
    """What a training would go on from, its best step, and what its user is told."""
    said = []
    with checkpoints.opened(folder, said.append) as manager:
        checkpoint = checkpoints.restore_newest(manager, some_state(0), said.append)
        return checkpoint, manager.best_step(), said


def assert_is(checkpoint, step):
    restored, kept, about = checkpoint
    jax.tree.map(np.testing.assert_array_equal, restored, some_state(step))
    assert kept == record(step) and about == ABOUT


# Orbax leaves coroutines behind that it did not come to; pytest looks for them by itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize(
    "damage",
    [
        each if each is flip_bit else pytest.param(each, marks=pytest.mark.thorough)
        for each in DAMAGES
    ],
)
@pytest.mark.thorough
def test_any_file_of_the_newest_damaged(saved, tmp_path, damage):
    """Each in turn: either nothing of value was in it, or the checkpoint before is the newest good one."""
    fallen_back = set()
    for number, path in enumerate(files_of(saved, 2)):
        folder = shutil.copytree(saved, tmp_path / str(number))
        damage(folder / path.relative_to(saved))
        before = [each.read_bytes() for each in files_of(folder, 2)]
        checkpoint, best, said = restore_newest(folder)
        if not said:
            assert_is(checkpoint, 2)
            assert best == 1
            continue
        fallen_back.add(path)
        assert_is(checkpoint, 1)
        (line,) = said
        assert line.startswith(f"the checkpoint {folder}/2 is damaged (")
        assert line.endswith("; it is kept as 2.damaged")
        assert [each.read_bytes() for each in files_of(folder, "2.damaged")] == before
    named = {path.parent.name for path in fallen_back}
    assert arrays_of(saved, 2) in fallen_back and {"about", "record", "metrics"} <= named


@pytest.mark.thorough
def test_no_flipped_bit_of_the_arrays_passes(folder):
    whole, seen = arrays_of(folder, 2).read_bytes(), 0
    with contextlib.closing(checkpoints.open_manager(folder)) as manager:
        for position in np.linspace(0.001, 0.999, 20):
            arrays_of(folder, 2).write_bytes(whole)
            flip_bit(arrays_of(folder, 2), position)
            try:
                assert_is(checkpoints.restore(manager, some_state(0), 2), 2)
            except damage.Damaged:
                seen += 1
    assert seen > 15  # the others hit what no value depends on


@pytest.mark.thorough
def test_all_damaged_is_the_start_of_the_run_and_none_is_ever_deleted(folder):
    for step in (1, 2):
        flip_bit(arrays_of(folder, step))
    checkpoint, best, said = restore_newest(folder)
    assert checkpoint is None and best is None and len(said) == 2
    with checkpoints.opened(folder, said.append) as manager:
        for step in (1, 2, 3):
            checkpoints.save(manager, some_state(step), record(step), ABOUT, step / 10)
    flip_bit(arrays_of(folder, 3))
    checkpoint, _, said = restore_newest(folder)
    assert checkpoint is None and len(said) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["1.damaged", "2.damaged", "3.damaged"]
    shutil.copytree(folder / "3.damaged", folder / "3")
    assert restore_newest(folder)[2][0].endswith("it is kept as 3.damaged-2")


@pytest.mark.parametrize("name", ["arrays", "score"])
def test_a_damaged_best_one_is_the_users_to_decide(folder, name):
    """The last one is whole, but the run would end with another result."""
    flip_bit(arrays_of(folder, 1) if name == "arrays" else folder / "1/metrics/metrics")
    with pytest.raises(UserError, match=f"{folder}/1 is damaged .* that folder away"):
        restore_newest(folder)
    shutil.move(folder / "1", folder / "away")
    checkpoint, best, said = restore_newest(folder)
    assert_is(checkpoint, 2)
    assert best == 2 and said == []


@pytest.mark.thorough
def test_a_model_with_a_flipped_bit_is_not_evaluated(folder):
    whole, refused = reader.read_run(folder.parent, "best")[0], []
    # Orbax writes the arrays in any order, into one file or several.
    for path in (path for path in files_of(folder, 1) if path.stat().st_size > 20_000):
        kept = path.read_bytes()
        for position in np.linspace(0.05, 0.95, 10):
            flip_bit(path, position)
            try:
                variables = reader.read_run(folder.parent, "best")[0]
                jax.tree.map(np.testing.assert_array_equal, variables, whole)
            except UserError as error:
                refused.append(error)
            path.write_bytes(kept)
    assert any(isinstance(each, damage.Damaged) and "params" in str(each) for each in refused)
    reader.read_run(folder.parent, "last")


def test_who_reads_leaves_alone_what_a_training_is_writing(folder):
    half_written = folder / "3.orbax-checkpoint-tmp"
    half_written.mkdir()
    reader.read_run(folder.parent, "last")
    assert half_written.exists()
    restore_newest(folder)  # the training that goes on has use for it no more
    assert not half_written.exists()


def test_an_unreadable_one_without_a_list_of_its_files_is_not_called_damaged(folder):
    """Of a training that was killed before it read the checkpoint back."""
    (folder / "2" / checksums.LIST).unlink()
    truncate(arrays_of(folder, 2))
    with pytest.raises(UserError, match="can't be read here .* its bytes may be whole"):
        restore_newest(folder)
    assert (folder / "2").exists()
