"""Accelerators by name: what is understood, and what is refused."""

import importlib.util

import pytest

from cifar_jax.errors import ConfigError, UserError
from cifar_jax.planning import devices


@pytest.mark.parametrize(
    ("text", "count", "shape"),
    [
        ("v5e:2x2", 4, "2x2"),
        ("v5e:16x16", 256, "16x16"),
        ("v5e", 1, "1x1"),
        ("v4:2x2", 4, "2x2x1"),
        ("h100:8", 8, "8"),
        ("h200", 1, "1"),
        ("cpu:8", 8, "8"),
    ],
)
def test_what_is_understood(text, count, shape):
    (one,) = devices.parse(text)
    assert (one.count, one.shape, one.name) == (count, shape, text)


def test_several_have_commas_between():
    assert [each.kind for each in devices.parse("v5e:2x2, h100:8,cpu:2")] == ["v5e", "h100", "cpu"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names none; such as v5e:2x2"),
        ("v5:2x2", "'v5:2x2' is unknown; did you mean `v5"),
        ("tesla", "is unknown"),
        ("h100:0", "says no number of devices; such as h100:8"),
        ("h100:2x2", "says no number of devices"),
        ("v5e:2x", "says no number of devices; such as v5e:2x2"),
        ("v5e:-1", "says no number"),
        ("cpu:99999", "says no number"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        devices.parse(text)


@pytest.mark.parametrize(
    "kind", [kind for kind, each in devices.KINDS.items() if each.platform == "cuda"]
)
def test_a_card_of_nvidia_has_a_description_that_agrees_with_the_table(kind):
    text, about = (devices.CARDS / f"{kind}.txt").read_text(), devices.KINDS[kind]
    fields = dict(
        line.strip().split(": ", 1)
        for line in text.splitlines()
        if ": " in line and "{" not in line
    )
    assert int(fields["memory_bandwidth"]) == pytest.approx(about.bandwidth, rel=0.01)
    assert int(fields["device_memory_size"]) == pytest.approx(about.memory, rel=0.08)


@pytest.mark.parametrize("name", ["v5e:2x2", "h100:1"])
def test_a_compiler_that_is_not_installed_is_named(name, monkeypatch):
    (one,) = devices.parse(name)
    extra = {"v5e:2x2": "plan-tpu", "h100:1": "plan-cuda"}[name]
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(UserError, match=f"pip install 'cifar-jax\\[{extra}\\]'"):
        devices.described(one)
