"""Any folder name that a file system takes works; a URL is refused; what can't be read is not called damaged."""

import contextlib
import json
import os

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import ROOT
from fuzzing import check
from sandbox import Sandbox

from cifar_jax import config as config_lib
from cifar_jax.config import paths
from cifar_jax.errors import StorageError, UserError
from cifar_jax.machine import local_path
from cifar_jax.runs import checkpoints, checksums, damage, quiet_orbax, reader, restoring

NAMES = (
    *("x [1]", "[!a]", "*", "a?b", "**", "{a,b}", "(a|b)", "a b", " ", "100%20", "#1", "-x", "--help", "dots..."),
    *("a\nb", "a\tb", "it's", 'a"b', "a\\b", "é漢字🙂", "~", "a~b", "$HOME", "`id`", "a;b&c", "x" * 255, "a:b"),
    *(os.fsdecode(b"\xff"), "gs:"),
)  # fmt: skip


@flax.struct.dataclass
class State:
    """The fields of a TrainState that a model is evaluated with, without a model."""

    step: jax.Array
    params: dict
    batch_stats: dict
    averaged: dict


def state(step):
    weights = jnp.arange(300.0) / (step + 7)
    return State(jnp.int32(step), {"w": weights, "b": weights[:2]}, {}, {})


def save(folder, *steps):
    """Checkpoints of a whole training; the first is the best."""
    with checkpoints.opened(folder, pytest.fail) as manager:
        for step in steps:
            checkpoints.save(manager, state(step), {"at": step}, {"seed": 0}, 1 / step)


def restore_newest(folder, say=pytest.fail):
    with checkpoints.opened(folder, say) as manager:
        return checkpoints.restore_newest(manager, state(0), say)


def assert_is(checkpoint, step):
    jax.tree.map(np.testing.assert_array_equal, checkpoint[0], state(step))
    assert checkpoint[1] == {"at": step}


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FIRST = (
    "x [1]",
    "{a,b}",
    "100%20",
    "a\nb",
    "a\\b",
    "gs:",
)  # of each cause one; the others are the second tier


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[] if x in FIRST else pytest.mark.thorough) for x in NAMES]
)
def test_checkpoints_in_a_folder_of_any_name(tmp_path, name):
    workdir = tmp_path / name / "run"
    save(workdir / "checkpoints", 1, 2, 3)
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["1", "3"]
    assert_is(restore_newest(workdir / "checkpoints"), 3)
    for which, step in (("best", 1), ("last", 3)):
        variables, about, at = reader.read_run(workdir, which)
        np.testing.assert_array_equal(variables["params"]["w"], state(step).params["w"])
        assert (about, at) == ({"seed": 0}, step)


def test_checkpoints_in_a_linked_folder(tmp_path):
    (tmp_path / "there [2]").mkdir()
    (tmp_path / "here [1]").symlink_to(tmp_path / "there [2]")
    save(tmp_path / "here [1]/checkpoints", 1)
    assert_is(restore_newest(tmp_path / "there [2]/checkpoints"), 1)


def test_a_folder_in_the_root_is_no_bucket():
    for name in ("gs", "s3", "az", "hf"):
        assert str(local_path.LocalPath(f"/{name}") / "x") == f"/{name}/x"
        assert not local_path.LocalPath(f"/{name}/x").exists()


def test_a_path_that_is_too_long_for_checkpoints_is_said_first(tmp_path):
    folder = tmp_path.joinpath(*["x" * 200] * 19, "x" * 150)
    with pytest.raises(OSError, match="too long"), checkpoints.opened(folder, pytest.fail):
        pass
    assert not list(tmp_path.iterdir())


def test_what_nothing_was_merged_of_is_never_taken_for_written(tmp_path, monkeypatch):
    """What the fault was: Orbax saw no files in `x [1]`, warned where nobody hears it, and deleted what was older."""
    save(tmp_path, 1)
    monkeypatch.setattr(local_path.LocalPath, "glob", lambda *_: iter(()))
    quiet_orbax.unmerged.clear()
    with pytest.raises(UserError, match="2 was written, but can't be read back .*Skipping merge"):
        save(tmp_path, 2)
    monkeypatch.undo()
    before = content(tmp_path)
    with pytest.raises(UserError, match="2 can't be read here .* its bytes may be whole") as raised:
        restore_newest(tmp_path)
    assert not isinstance(raised.value, damage.Damaged) and raised.value.exit_code == 2
    assert content(tmp_path) == before
    (tmp_path / "2").rename(tmp_path.parent / "away")
    assert_is(restore_newest(tmp_path), 1)


def test_other_bytes_when_it_is_read_back_are_the_disks(tmp_path, monkeypatch):
    save(tmp_path, 1)
    read = checksums.of_state
    with (
        pytest.raises(StorageError, match="2 is damaged .* as soon as it is written"),
        checkpoints.opened(tmp_path, pytest.fail) as manager,
    ):
        checkpoints.save(manager, state(2), {}, {})
        monkeypatch.setattr(checksums, "of_state", lambda tree: read(tree) | {"params": "x"})
    assert (tmp_path / "1").exists()


def test_nothing_older_goes_before_the_newest_was_read(tmp_path, monkeypatch):
    """Of a training that is killed when its last checkpoint is complete; the next one tidies up."""
    note, seen = restoring.list_files, []

    def noted(folder):
        seen.append((int(folder.name), sorted(int(path.name) for path in tmp_path.iterdir())))
        note(folder)

    monkeypatch.setattr(restoring, "list_files", noted)
    with contextlib.closing(checkpoints.open_manager(tmp_path)) as manager:
        for step in (1, 2, 3, 4):
            checkpoints.save(manager, state(step), {"at": step}, {}, 1 / step)
    assert seen == [(1, [1]), (2, [1, 2]), (3, [1, 2, 3])]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3", "4"]
    assert not (tmp_path / "4" / checksums.LIST).exists()
    monkeypatch.undo()
    assert_is(restore_newest(tmp_path), 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "4"]
    assert (tmp_path / "4" / checksums.LIST).exists()


@pytest.mark.parametrize("lost", ["index", "JSON", "format"])
def test_the_first_is_read_whole_and_later_ones_where_they_are_not_like_it(
    tmp_path, monkeypatch, lost
):
    read = []
    whole = restoring.read_back
    monkeypatch.setattr(restoring, "read_back", lambda *each: read.append(each[1]) or whole(*each))
    if lost == "format":  # of another one than is known here
        monkeypatch.setattr(restoring, "_keys", lambda *_: None)
    with checkpoints.opened(tmp_path, pytest.fail) as manager:
        for step in (1, 2, 3):
            checkpoints.save(manager, state(step), {"at": step}, {}, 1 / step)
        manager.wait_until_finished()
        if lost == "format":
            checkpoints.wait(manager)
            assert read == [1, 2, 3]
            return
        assert read == [1]
        (
            tmp_path / "3" / {"index": "state/manifest.ocdbt", "JSON": "record/metadata"}[lost]
        ).write_bytes(b"")
        with pytest.raises(UserError, match="3 was written, but can't be read back"):
            checkpoints.save(manager, state(4), {}, {})
        assert read == [1, 3]
        manager.unread = None
    assert {"1", "2", "3"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("error", [RuntimeError("no such device"), MemoryError(), KeyError("x")])
def test_what_cant_be_read_but_is_whole_is_left_alone(tmp_path, monkeypatch, error):
    save(tmp_path / "checkpoints", 1, 2)
    before = content(tmp_path)

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(checkpoints.Manager, "restore", fails)
    says = "can't be read here .* its bytes are as they were written, and nothing was changed"
    for read in (restore_newest, lambda folder: reader.read_run(folder.parent, "last")):
        with pytest.raises(UserError, match=says) as raised:
            read(tmp_path / "checkpoints")
        assert type(error).__name__ in str(raised.value) and raised.value.exit_code == 2
        assert not isinstance(raised.value, damage.Damaged)
    monkeypatch.undo()
    assert content(tmp_path) == before
    assert_is(restore_newest(tmp_path / "checkpoints"), 2)


def test_a_machine_without_a_device_is_no_matter_of_checkpoints(tmp_path, monkeypatch):
    save(tmp_path, 1)
    error = RuntimeError("Unable to initialize backend 'abacus'")

    def fails(*_):
        raise error

    monkeypatch.setattr(jax, "devices", fails)
    with pytest.raises(RuntimeError) as raised:
        checkpoints.open_manager(tmp_path, read_only=True)
    assert raised.value is error


@pytest.mark.parametrize("name", ["_CHECKPOINT_METADATA", "metrics/metrics", "state/_METADATA"])
def test_a_newer_format_is_no_damage(tmp_path, name):
    """Its files are whole and listed; this version finds other keys in them than it knows."""
    save(tmp_path, 1, 2)
    (tmp_path / "2" / name).write_text(json.dumps({"format": "newer"}))
    (tmp_path / "2" / checksums.LIST).unlink()
    checksums.write_list(tmp_path / "2")
    before = content(tmp_path)
    with pytest.raises(UserError, match="2 can't be read here .* as they were written"):
        restore_newest(tmp_path)
    assert content(tmp_path) == before


def test_other_libraries_are_named(tmp_path):
    with checkpoints.opened(tmp_path, pytest.fail) as manager:
        versions = {"versions": {"orbax-checkpoint": "99.1", "made-up": "1"}}
        checkpoints.save(manager, state(1), {}, versions)
    (tmp_path / "1/state/_METADATA").write_text("{}")
    (tmp_path / "1" / checksums.LIST).unlink()
    with pytest.raises(
        UserError, match="written with orbax-checkpoint 99.1, made-up 1, other than"
    ):
        restore_newest(tmp_path)


URLS = ("gs://bucket/run", "s3://b", "file:///etc", "https://host/x", "gs:/bucket", "gs:", "hf://a")


@pytest.mark.parametrize("url", URLS)
def test_urls_are_none(url):
    with pytest.raises(UserError, match="is a URL"):
        paths.local(url)
    assert paths.local(f"./{url}") == f"./{url}"


@pytest.mark.parametrize("name", [*NAMES[:-1], "/gs/x", "configs/a.py:b", "a.py:b", "", "2:/x"])
def test_names_are_no_urls(name):
    assert paths.local(name) == name


TRAIN = ("--config", "configs/quickstart.py", "--workdir", "run")
SWEEP = ("--config", "configs/sweeps/quickstart.py", "--workdir", "run")
URL = "gs://bucket/run"
# Every argument of every command line that names a file or a folder.
COMMANDS = [
    *(("main", *TRAIN[:3], URL), ("main", "--config", URL, *TRAIN[2:])),
    *(
        ("main", *TRAIN, f"--config.{field}={URL}")
        for field, entry in config_lib.fields().items()
        if entry.path
    ),
    *(("sweep.__main__", *SWEEP[:3], URL), ("sweep.__main__", *SWEEP, f"--config.dataset.data_dir={URL}")),
    *(("evaluate", "--workdir", *more) for more in ([URL], ["run", "--out", URL], ["run", "--data_dir", URL])),
    ("evaluate", "--compare", "run", URL),
    *(("predict", "--workdir", *more) for more in ([URL, "cat.png"], ["run", "cat.png", URL])),
    *(("gradcam", "--workdir", *more) for more in ([URL], ["run", "--images", "cat.png", URL], ["run", "--out", URL])),
    *(("export", "--workdir", *more) for more in ([URL, "--out", "m"], ["run", "--out", URL])),
    ("export", "--workdir", "run", "--out", "m", "--savedmodel", URL),
    *(("ood", "--ood", "noise", "--workdir", *more) for more in ([URL], ["run", "--out", URL])),
    *(("report", *more) for more in (["run", URL], ["run", "--out", URL], ["run", "--data_dir", URL])),
    ("weights", "--workdir", URL, "--target", "w.npz"),
    ("weights", "--workdir", "run", "--target", f"{URL}.npz"),
    ("weights", "--model", "basic_net", "--source", f"{URL}.npz", "--target", "w.npz"),
    ("data.prepare", "--archive", URL),
    ("data.prepare", "--archive", "a.tar.gz", "--data_dir", URL),
    *(("reproduce", "--list", flag, URL) for flag in ("--workdir", "--data_dir")),
    ("experiments", "--configs", URL),
]  # fmt: skip


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    return Sandbox(tmp_path_factory.mktemp("sandbox"))


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_refuses_urls_at_the_door(sandbox, arguments):
    arguments = [each.replace("configs/", f"{ROOT}/configs/") for each in arguments]
    ended = check(sandbox.run(*arguments))
    assert ended.code == 2 and " is a URL" in ended.errors and ended.errors.count("\n") == 1
    assert not ended.printed and not list(sandbox.here.iterdir())
