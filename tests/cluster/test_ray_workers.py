"""Decisions about the workers of a Ray cluster, without Ray."""

import errno
import re
import sys
import types

import pytest
from command_line import free_port

from cifar_jax import main
from cifar_jax.errors import ConfigError, UserError
from cifar_jax.machine import ray_cluster, ray_workers
from cifar_jax.sweep import __main__ as sweep
from cifar_jax.sweep import on_ray

START = ["main", "--config", "configs/quickstart.py", "--workdir", "/shared/run", "--ray_workers=2"]


def resources(*arguments):
    return ray_workers.resources(main.read([*START, *arguments])[1])


@pytest.mark.parametrize(
    ("given", "each"),
    [
        ((), {"CPU": 1}),
        (("--ray_resources=GPU:8",), {"CPU": 1, "GPU": 8}),
        (("--ray_resources=CPU:16,TPU:4,large:0.5",), {"CPU": 16, "TPU": 4, "large": 0.5}),
    ],
)
def test_what_a_worker_is_to_have(given, each):
    assert resources(*given) == each


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--ray_resources=GPU", "no list of NAME:NUMBER"),
        ("--ray_resources=:4", "no list of NAME:NUMBER"),
        ("--ray_resources=GPU:nan", "no list of NAME:NUMBER"),
        ("--ray_resources=GPU:-1", "no list of NAME:NUMBER"),
        ("--ray_resources=GPU:1.5", "a number above 1 is whole"),
        ("--ray_resources=memory:1e9", "no list of NAME:NUMBER"),
        ("--workdir=runs/here", "an absolute path"),
        ("--distributed", "leave out --coordinator"),
        ("--dry_run", "leave out --ray_workers"),
    ],
)
def test_flags_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        resources(given)


def test_a_sweep_asks_for_a_group_of_its_own_or_for_workers():
    config = ["sweep", "--config", "configs/sweeps/quickstart.py", *START[3:]]
    with pytest.raises(ConfigError, match="--group"):
        sweep.main([*config, "--group=0"])


@pytest.mark.parametrize("command", [main, sweep])
def test_without_ray_the_line_that_installs_it_is_told(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    name = "sweeps/quickstart" if command is sweep else "quickstart"
    arguments = [*START[:2], f"configs/{name}.py", *START[3:], f"--workdir={tmp_path}"]
    with pytest.raises(UserError, match=r"pip install 'cifar-jax\[ray\]'"):
        command.main(arguments)


def test_a_cluster_that_is_not_there_is_told_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    start = "no Ray cluster is reachable .*refused.*; `ray start --head` makes one"
    with pytest.raises(UserError, match=start), ray_cluster.connected():
        pass


def test_a_call_is_given_up_when_it_fails_twice_where_it_stood():
    checkpoints = {"a": [], "b": []}
    attempts = ray_workers.Attempts(lambda name: list(checkpoints[name]))
    assert attempts.again("a") and attempts.again("b")
    checkpoints["a"].append("20")  # since then a came further
    assert attempts.again("a") and not attempts.again("b")
    assert not attempts.again("a")


def test_a_machine_has_room_for_so_many_workers():
    node = {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 8.0}}
    assert ray_cluster.room(node, {"CPU": 1.0, "GPU": 4.0}) == 2
    assert ray_cluster.room(node, {"CPU": 1.0, "TPU": 4.0}) == 0
    assert ray_cluster.room(node, {"CPU": 0.0}) == 1
    assert ray_cluster.room(node | {"Alive": False}, {"CPU": 1.0}) == 0


def test_what_was_checkpointed_tells_one_standing_from_another(tmp_path):
    assert ray_workers.newest(tmp_path / "none") == []
    for step in ("40", "20"):
        (tmp_path / step).mkdir()
    assert ray_workers.newest(tmp_path) == ["20", "40"]


def test_groups_that_failed_are_named_with_their_runs():
    runs = {"group 1/2": [f"lr/{seed}" for seed in range(6)], "group 2/2": ["wd/0"]}
    said = on_ray.failed({"group 1/2": "its worker is lost"}, runs)
    assert said.splitlines() == [
        "group 1/2 (lr/0, lr/1, lr/2, lr/3 and 2 more): its worker is lost",
        "1 of 2 groups are trained; the same command goes on with the rest.",
    ]


def test_a_worker_tells_an_error_and_its_code(monkeypatch, tmp_path, capsys):
    def fail(error):
        raise error

    monkeypatch.setattr(on_ray, "plan", fail)
    monkeypatch.setattr(ray_cluster, "end_at_once", lambda: None)
    monkeypatch.chdir(tmp_path.parent)  # and back at the end
    call = ray_cluster.in_worker
    for error, code, said in (
        (UserError("why"), 2, "why"),
        (MemoryError("1 GB"), 2, r"out of memory \(1 GB\); smaller batches"),
        (OSError(errno.ENOSPC, "No space"), 4, r"a disk can't be written \(No space\)"),
    ):
        found, value = call(tmp_path, "cifar_jax.sweep.on_ray:plan", (error,))
        assert found == code and re.match(said, value)
    assert capsys.readouterr().err == ""
    assert call(tmp_path, "os:getcwd", ()) == (0, str(tmp_path))
    assert call(tmp_path, "json:loads", ("[",))[0] == 1 and "Traceback" in capsys.readouterr().err
