"""What was written is read by every later version, on every stack: runs recorded by tests/record_old_run.py."""

import io
import json
import shutil

import pytest
from record_old_run import FOLDER, evaluated
from rich.console import Console

from cifar_jax import train, trained
from cifar_jax.errors import UserError
from cifar_jax.runs import reader, restoring


@pytest.fixture(params=sorted(path.name for path in FOLDER.iterdir()))
def old(request, tmp_path):
    """(a copy of a run's folder, what was recorded of it)."""
    recorded = json.loads((FOLDER / request.param / "recorded.json").read_text())
    return shutil.copytree(FOLDER / request.param / "run", tmp_path / "run"), recorded


def assert_close(figures, recorded, loss, images):
    """`loss` is how far the losses may be apart, `images` how many may be classified otherwise."""
    assert abs(figures["test_loss"] - recorded["test_loss"]) <= loss
    apart = abs(figures["test_accuracy"] - recorded["test_accuracy"])
    assert apart * recorded["test_images"] <= images + 1e-6


@pytest.mark.thorough
def test_its_checkpoint_says_what_it_said(old):
    """The parameters are the same bits, by their checksums; what is computed of them rounds as it will."""
    folder, recorded = old
    figures = evaluated(folder)
    assert figures["step"] == recorded["checkpoint"]["step"]
    assert_close(figures, recorded["summary"] | recorded["checkpoint"], loss=1e-4, images=0)


@pytest.mark.thorough
def test_it_goes_on_to_the_end(old):
    """Another stack rounds otherwise, and an epoch of SGD carries that on: of 1e-7 some 1e-3 of the loss is made."""
    folder, recorded = old
    console = Console(file=io.StringIO(), width=200)
    summary = train.train_and_evaluate(trained.open_run(folder, "last").config, folder, console)
    assert f"at step {recorded['checkpoint']['step']:,} of" in console.file.getvalue()
    assert summary["steps"] == recorded["summary"]["steps"]
    assert_close(summary, recorded["summary"], loss=0.01, images=2)


def test_they_are_small():
    for folder in FOLDER.iterdir():
        assert sum(path.stat().st_size for path in folder.rglob("*")) <= 300_000


@pytest.mark.thorough
def test_a_later_format_is_refused_and_not_taken_for_damage(old):
    folder, _ = old
    config = trained.open_run(folder, "last").config
    (about,) = folder.glob("checkpoints/*/about/metadata")
    said = json.loads(about.read_text())
    assert "format" not in said or said["format"] <= restoring.FORMAT
    later = {"format": restoring.FORMAT + 1, "versions": {"cifar-jax": "7.8.9"}}
    about.write_text(json.dumps(said | later))
    shutil.rmtree(about.parent.parent / "record")  # what lies beside it there, nobody knows
    before = files_of(folder)
    for read in (
        lambda: reader.read_run(folder, "last"),
        lambda: train.train_and_evaluate(config, folder, Console(file=io.StringIO())),
    ):
        with pytest.raises(UserError, match="use cifar_jax 7.8.9 or a later one$") as refused:
            read()
        assert refused.value.exit_code == 2 and "damage" not in str(refused.value)
        assert "\n" not in str(refused.value)
    assert files_of(folder) == before


def files_of(folder):
    """Name -> content, without the lock that a training leaves behind."""
    files = {path for path in folder.rglob("*") if path.is_file()} - set(folder.glob(".lock*"))
    return {path.relative_to(folder): path.read_bytes() for path in files}
