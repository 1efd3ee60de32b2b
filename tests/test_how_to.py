"""The wishes of docs/how_to.md, each fulfilled by what stands there, in that order, in one folder."""

import re
import shlex

import numpy as np
import pytest
from command_line import ROOT, run_module
from documents import code_blocks
from PIL import Image

TEXT = (ROOT / "docs/how_to.md").read_text()
WISHES = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
SHORT = "--config.total_epochs=2", "--config.tensorboard=false"


def lines(wish):
    """The command lines of a wish, and its Python, each as it stands there."""
    shown = re.findall(
        r"^    (python -m [^\n]*)$|^```python\n(.*?)^```$", wish, re.DOTALL | re.MULTILINE
    )
    return [command or text for command, text in shown]


def test_there_are_eighteen_wishes_and_each_is_fulfilled():
    assert len(WISHES) == 18 and all(map(lines, WISHES))


def small_net(arguments):
    """The options of the plugin's net, which compiles in a second, for a training that may have any."""
    words = "model.name", "layer_factors", "runs/first", "configs/sweeps", "--lr"
    named = any(word in each for each in arguments for word in words)
    plugin = [] if "--plugin" in arguments else ["--plugin", "my_models.py"]
    return [] if named else [*plugin, "--config.model.name=small"]


def said(command, folder):
    """What a command of the docs prints, in so short a form that a test can wait for it."""
    _, _, module, *arguments = shlex.split(command)
    if module in ("cifar_jax.main", "cifar_jax.sweep"):
        given = [each.replace("=70", "=3") for each in arguments]
        short = [
            each
            for each in SHORT
            if not any("total_epochs" in x and "total_epochs" in each for x in given)
        ]
        arguments = [*given, *short, *small_net(given)]
    done = run_module(module.removeprefix("cifar_jax."), *arguments, cwd=folder)
    assert done.returncode == (2 if "--lr=" in command else 0), (command, done.stderr)
    return done.stdout + done.stderr


@pytest.mark.thorough
def test_every_wish(tmp_path, monkeypatch):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "my_models.py").write_text("\n\n".join(code_blocks("python", "plugins")))
    (tmp_path / "photos").mkdir()
    draws = np.random.default_rng(0)
    for name in ("cat.jpg", "sky.png"):
        Image.fromarray(draws.integers(0, 256, (40, 60, 3), np.uint8)).save(
            tmp_path / "photos" / name
        )
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    printed = {}
    for wish in WISHES:
        title = wish.partition("\n")[0]
        texts = []
        for each in lines(wish):
            if each.startswith("python -m"):
                texts.append(said(each, tmp_path))
            else:
                exec(compile(each, title, "exec"), {"__name__": "docs"})
        printed[title] = "".join(texts)
    for word, expected in (
        ("long", "nothing was written"),
        ("more epochs", "resuming"),
        ("the words", "did you mean `--config.optimizer.learning_rate`?"),
        ("sweep", "runs/sweep/runs/"),
    ):
        (text,) = (text for title, text in printed.items() if word in title)
        assert expected in text
    for file in (
        "confusion.png",
        "curves.png",
        "first.onnx",
        "first.safetensors",
        "lr_0.03.jaxexport",
    ):
        assert (tmp_path / file).stat().st_size, file
    assert (tmp_path / "runs/first/report.html").stat().st_size
