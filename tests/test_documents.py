"""README.md and docs/: their command lines are taken and run, and what they name is there."""

import re
import shutil
import tomllib
import types

import numpy as np
import pytest
from command_line import ROOT, run_here
from documents import PAGES, blocks, command_lines, quoted, typed_lines
from PIL import Image
from test_command_lines import COMMANDS
from test_weights import state_dict

from cifar_jax import config as config_lib
from cifar_jax import plugins
from cifar_jax.analysis import style
from cifar_jax.console import flags
from cifar_jax.machine import joining, ray_cluster
from cifar_jax.planning import jobs

every_page = pytest.mark.parametrize("page", PAGES)
REFUSED = "--lr=0.1"  # docs/how_to.md shows what is said to it
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what the pages speak of."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "my_config.py").write_text(blocks("python", "README.md")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def module_of(words):
    """ "main" of ["python", "-m", "cifar_jax.main", ...]."""
    name = words[2].removeprefix("cifar_jax.")
    return "sweep.__main__" if name == "sweep" else name


@every_page
def test_every_command_line_is_one_that_the_command_takes(page, folder, monkeypatch, capsys):
    """Its flags, its config, its fields and their values; what begins after that is left out."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    def parse_args(parser, *arguments):
        parse(parser, *arguments)
        stop()

    parse = flags._Parser.parse_args
    monkeypatch.setattr(flags._Parser, "parse_args", parse_args)
    monkeypatch.setattr(joining, "joined", stop)
    monkeypatch.setattr(ray_cluster, "connected", stop)
    monkeypatch.setattr(jobs, "of_command", stop)
    for words in command_lines(page):
        # A plugin's names are known to it alone; tests/test_plugins.py has those lines.
        if "--plugin" in words:
            monkeypatch.setattr(plugins, "load", stop)
        code = run_here(module_of(words), *words[3:])
        expected = 2 if REFUSED in words else 0 if "--help" in words else 130
        assert code == expected, (" ".join(words), capsys.readouterr().err)


@every_page
def test_every_name_is_there(page):
    """Commands, fields, extras, files, and the flags of benchmarks."""
    text = PAGES[page]
    for name in re.findall(r"python -m cifar_jax\.([\w.]*\w)", text):
        assert module_of(["", "", name]) in COMMANDS, name
    for name in re.findall(r"--config\.([a-z]\w*(?:\.\w+)?)", text):
        config_lib.check_name(name)
    sections = {name.split(".")[0] for name in config_lib.fields() if "." in name}
    for each in quoted(page):
        if (named := re.match(r"(\w+)\.(?!json)(\w+)(?:$| ?=)", each)) and named[1] in sections:
            config_lib.check_name(f"{named[1]}.{named[2]}")
        if re.fullmatch(r"(tests|cifar_jax|benchmarks|configs|docs)/[\w./]+", each):
            assert (ROOT / each).exists(), each
    for extra in re.findall(r"'?\.\[([\w,-]+)\]", text):
        assert set(extra.split(",")) <= EXTRAS.keys(), extra
    for script, options in re.findall(r"python (benchmarks/\w+\.py)([^`\n]*)", text):
        source = (ROOT / script).read_text()
        for flag in re.findall(r"--[\w-]+", options):
            assert f'"{flag}"' in source, (script, flag)


@every_page
def test_every_link_leads_to_a_file(page):
    """Pictures: tests/test_pictures.py."""
    for target in re.findall(r"(?<!!)\[[^]]*\]\(([^)#\s]+)\)", PAGES[page]):
        assert "://" in target or ((ROOT / page).parent / target).exists(), target


# The pages whose lines are run below, in this order; those of docs/how_to.md: tests/test_how_to.py.
RUN = [
    "README.md",
    *("docs/data.md", "docs/training.md", "docs/sweeps.md", "docs/analysis.md"),
    *("docs/weights.md", "docs/export.md", "docs/results.md"),
]
# What a line has in it that takes long, a network, an accelerator, or a server -> where its like is run.
ELSEWHERE = {
    "pip": ".ci/run",
    "pytest": ".ci/run",
    "--dry_run": "tests/test_how_to.py",
    "cifar_jax.plan": "tests/planning",
    "cifar_jax.serve": "tests/test_serve.py",
    "cifar_jax.reproduce": "tests/test_reproduce.py",
    "cifar_jax.data.prepare": ".ci/run, tests/data/test_prepare.py",
    "configs/basic_net.py": "tests/test_whole_run.py, and with an archive tests/faults/test_command_line.py",
    "cifar_jax.experiments": "tests/test_experiments.py",
    "--savedmodel": "tests/test_export.py",
    "resnet18.safetensors": "tests/models/test_torch_weights.py",
    "configs/resnet18.py": "tests/models/test_torch_weights.py",
    "svhn_cropped,cifar100": "tests/test_ood.py",
    "comparison.html": "tests/report",
    "configs/sweeps/quickstart.py": "tests/test_how_to.py",
    "runs/quickstart_sweep/runs/lr_0.03-0": "tests/test_how_to.py",
    "configs/sweeps/modified_net_lr.py": "tests/sweep",
}
SHORT = {
    **{"total_epochs": "1", "batch_size": "16", "tensorboard": "false"},
    **{"model.name": "small_net", "dataset.name": "digits"},
}
FEW = {"total_epochs": 1, "tensorboard": False, "model": {"name": "small_net"}}


def shortened(words):
    """A training of a few steps of a small net on the digits, but for what the line asks for; one set for three."""
    if module_of(words) != "main" or "--help" in words:
        return [
            each.replace("noise,constant_colour,shuffled_patches", "constant_colour")
            for each in words
        ]
    given = {each.partition("=")[0].removeprefix("--config.") for each in words}
    return [*words, *(f"--config.{name}={SHORT[name]}" for name in SHORT if name not in given)]


@pytest.mark.thorough
def test_every_command_line_runs(folder, small_nets, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder / "tfds"))
    monkeypatch.setattr(style, "save", lambda *_: [])
    draws = np.random.default_rng(0)
    pictures = [f"pets/{kind}/{number}.jpg" for kind in ("cat", "dog") for number in range(40)]
    for name in ("cat.png", "dog.jpg", "holiday/sea.jpg", *pictures):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (40, 60, 3), np.uint8)).save(folder / name)
    lines = dict.fromkeys(tuple(words) for page in RUN for words in typed_lines(page))
    for words in lines:
        if ELSEWHERE.keys() & set(words) or words[2:] == ("cifar_jax.summary",):
            continue
        for name in ("origin_net", "modified_net"):  # what two of them stand for
            if f"runs/{name}" in words and not (folder / f"runs/{name}").exists():
                shutil.copytree("runs/quickstart", f"runs/{name}")
        assert run_here(module_of(words), *shortened(words)[3:]) == 0, " ".join(words)
    net = types.SimpleNamespace(state_dict=lambda: state_dict("resnet18"))
    for page in RUN:
        for text in blocks("python", page):
            known = {
                "__name__": "docs",
                "net": net,
                "images": draws.integers(0, 256, (2, 32, 32, 3), np.uint8),
                "labels": [0, 1],
            }
            exec(text.replace("settings.total_epochs = 5", f"settings.update({FEW})"), known)
    assert known["probabilities"].shape == (4, 10)
