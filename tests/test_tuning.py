"""The allocator's setting: when it is made, that it stays out of the user's own, and the process that comes of it."""

import os
import subprocess
import sys

import pytest
from command_line import ROOT, command

from cifar_jax.machine import huge_pages


def untuned():
    """This process's environment without the setting, and without the switch that the tests have off."""
    return {
        n: v for n, v in os.environ.items() if n not in (huge_pages.SWITCH, huge_pages.TUNABLES)
    }


@pytest.mark.parametrize(
    "environment, useful, expected",
    [
        ({}, True, "glibc.malloc.hugetlb=1"),
        ({}, False, None),
        ({"CIFAR_JAX_TUNING": "off"}, True, None),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, True, None),
        (
            {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"},
            True,
            "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1",
        ),
    ],
)
def test_never_over_the_users_own(environment, useful, expected):
    variables = huge_pages.settings(environment, useful)
    assert variables.get("GLIBC_TUNABLES") == expected
    assert not huge_pages.settings({**environment, **variables}, useful), (
        "it would start again and again"
    )


@pytest.mark.parametrize(
    "pages, device, expected",
    [
        ("always [madvise] never", None, True),
        ("[always] madvise never", None, False),  # they come anyway
        ("always madvise [never]", None, False),
        ("always [madvise] never", "nvidia0", False),
        ("always [madvise] never", "nvidiactl", True),  # a driver without a card
        ("always [madvise] never", "accel0", False),
        (None, None, False),
    ],
)
def test_machines(tmp_path, monkeypatch, pages, device, expected):
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    if pages:
        file = tmp_path / "sys/kernel/mm/transparent_hugepage/enabled"
        file.parent.mkdir(parents=True)
        file.write_text(pages)
    if device:
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev" / device).touch()
    assert huge_pages.machine_has_use(tmp_path) is expected


@pytest.mark.parametrize("library", [("glibc", "2.34"), ("", ""), ("musl", "1.2.4")])
def test_other_c_libraries(monkeypatch, library):
    monkeypatch.setattr("platform.libc_ver", lambda: library)
    assert not huge_pages.machine_has_use()


def test_the_process_is_the_same_but_for_the_setting():
    """Interpreter, its options, arguments, process number, standard input and exit code stay."""
    program = (
        "import os, sys; from cifar_jax.machine import huge_pages; huge_pages.machine_has_use = lambda: True\n"
        "print(os.getpid(), sys.flags.optimize, sys.argv[1:], huge_pages.SWITCH in os.environ, flush=True)\n"
        "huge_pages.restart(); print(sys.stdin.read()); sys.exit(7)"
    )
    process = subprocess.Popen(
        [sys.executable, "-O", "-c", program, "a b", "ü"],
        cwd=ROOT,
        env=untuned(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate("read by the second", timeout=60)
    first, second, read = out.splitlines()
    assert first == f"{process.pid} 1 ['a b', 'ü'] False"
    assert second == f"{process.pid} 1 ['a b', 'ü'] True"
    assert (read, process.returncode) == ("read by the second", 7)


@pytest.mark.thorough
@pytest.mark.skipif(not huge_pages.machine_has_use(), reason="a machine that has no use for it")
def test_a_training_says_so_in_one_line_if_asked(tmp_path):
    quick = ("--config.total_epochs=1", "--config.tensorboard=False")
    for asked in ((), ("--verbose",)):
        done = subprocess.run(
            command(tmp_path / "run", *quick, *asked),
            env=untuned(),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 (CIFAR_JAX_TUNING=off: without)\n"
        assert done.stdout.count(said) == len(asked)
