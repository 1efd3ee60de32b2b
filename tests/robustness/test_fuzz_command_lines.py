"""Any command line, with any words in it, ends as it should: with an answer or with one message."""

import shutil

import pytest
from command_line import ROOT
from fuzzing import JUNK, check, fuzz
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifar_jax.errors import UserError

pytestmark = pytest.mark.fuzz

WORKDIR, OUT = "runs/first", "out"
CONFIG, SWEEP = (str(ROOT / "configs" / name) for name in ("quickstart.py", "sweeps/quickstart.py"))
WHICH = st.sampled_from(["best", "last", "40"])
SPLIT = st.sampled_from(["test", "validation", "train"])
NUMBER = st.integers(1, 9).map(str)
FLAG = None  # one without a value

# Command line -> {argument: sound values}; "" is what has no name.
ARGUMENTS = {
    "main": {
        "--config": st.just(CONFIG), "--workdir": st.just(WORKDIR), "--config.seed": NUMBER, "--verbose": FLAG,
    },
    "sweep.__main__": {
        "--config": st.just(SWEEP), "--workdir": st.just(WORKDIR), "--runs": NUMBER, "--memory_gb": NUMBER,
        "--config.seed": NUMBER,
    },
    "evaluate": {
        "--workdir": st.just(WORKDIR), "--split": SPLIT, "--checkpoint": WHICH, "--data_dir": st.just("data"),
        "--out": st.just(OUT), "--full": FLAG, "--no-speed": FLAG, "--no-figures": FLAG, "--seed": NUMBER,
    },
    "evaluate --compare": {
        "--compare": st.just(WORKDIR), "": st.just("runs/second"), "--split": SPLIT, "--out": st.just(OUT),
    },
    "gradcam": {
        "--workdir": st.just(WORKDIR), "--split": SPLIT, "--checkpoint": WHICH, "--class": NUMBER,
        "--layer": st.sampled_from(["conv1", "conv2", "fc1"]), "--list-layers": FLAG, "--count": NUMBER,
        "--images": st.sampled_from(["wrong", "correct"]), "--out": st.just(OUT),
    },
    "ood": {
        "--workdir": st.just(WORKDIR), "--ood": st.sampled_from(["noise", "constant_colour"]),
        "--layer": st.sampled_from(["conv1", "penultimate"]), "--threshold": NUMBER, "--out": st.just(OUT),
        "--count": NUMBER, "--train_count": NUMBER, "--seed": NUMBER,
    },
    "report": {"": st.just(WORKDIR), "--out": st.just("r.html"), "--split": SPLIT, "--images": NUMBER},
    "predict": {
        "--workdir": st.sampled_from([WORKDIR, "pretrained:speedrun"]), "": st.just("picture.png"),
        "--checkpoint": WHICH, "--top": NUMBER, "--json": FLAG,
    },
    "export": {
        "--workdir": st.just(WORKDIR), "--out": st.just("model.jaxexport"), "--checkpoint": WHICH,
        "--platforms": st.sampled_from(["cpu", "cuda,cpu"]),
    },
    "weights": {
        "--workdir": st.just(WORKDIR), "--target": st.just("w.npz"), "--checkpoint": WHICH,
        "--names": st.sampled_from(["cifar_jax", "kuangliu"]),
    },
    "weights --source": {
        "--target": st.just("w.npz"),
        "--model": st.just("basic_net"), "--source": st.just("w.npz"), "--num_classes": st.just("10"),
        "--names": st.sampled_from(["cifar_jax", "kuangliu"]),
    },
    "summary": {"--model": st.sampled_from(["basic_net", "origin_net"]), "--json": FLAG},
    "experiments": {"--json": FLAG, "--configs": st.just(str(ROOT / "configs"))},
    "reproduce": {"--reports": st.sampled_from(["001", "001,004"]), "--experiments": st.just("adam"),
                  "--seeds": NUMBER, "--budget-minutes": NUMBER, "--list": FLAG},
    "data.prepare": {"--archive": st.just("cifar.tar.gz"), "--data_dir": st.just("data"),
                     "--name": st.sampled_from(["cifar10", "cifar100"])},
}  # fmt: skip

# Command line -> what it does once the words are understood, and takes long.
BEGINS = {
    "main": "cifar_jax.train.train_and_evaluate",
    "sweep.__main__": "cifar_jax.sweep.driver.train_sweep",
    "reproduce": "cifar_jax.analysis.reproduction.pending",
    "evaluate": "cifar_jax.analysis.result.evaluate",
    "report": "cifar_jax.analysis.result.evaluate",
    "gradcam": "cifar_jax.analysis.explain.maps_of",
    "ood": "cifar_jax.analysis.ood.detect._load",
    "export": "cifar_jax.trained.export.export",
    "summary": "cifar_jax.models.reported.describe",
    "experiments": "cifar_jax.experiments.describe",
}


ALWAYS = (
    "",
    "--config",
    "--workdir",
    "--compare",
    "--ood",
    "--out",
    "--target",
    "--archive",
    "--list",
)
# What is written where it says; the tests leave the machine alone.
OUTPUTS = ("--out", "--target", "--workdir", "--data_dir", "--savedmodel")


def stays_here(path):
    return not path.startswith(("/", "~")) and ".." not in path


@st.composite
def words(draw, arguments):
    """A command line: sound but for one or two words."""
    given = [name for name in arguments if name in ALWAYS or draw(st.booleans())]
    spoilt = draw(st.sets(st.sampled_from([*arguments, "another"]), min_size=1, max_size=2))
    parts = []
    for name in dict.fromkeys([*given, *(spoilt & arguments.keys())]):
        sound, junk = arguments[name], JUNK.filter(stays_here) if name in OUTPUTS else JUNK
        if sound is FLAG:
            parts.append([f"{name}={draw(junk)}" if name in spoilt else name])
            continue
        value = draw(junk if name in spoilt else sound)
        if name == "":
            parts.append([value])
        else:
            parts.append([f"{name}={value}"] if draw(st.booleans()) else [name, value])
    if "another" in spoilt:
        parts.append([draw(JUNK)])
    return [word for part in parts for word in part]


@pytest.fixture(scope="module", autouse=True)
def files(sandbox, workdir):
    """What the words may name: a run, a picture, something that is no archive."""
    for run in (WORKDIR, "runs/second"):
        shutil.copytree(workdir, sandbox.here / run)
    Image.new("RGB", (40, 30)).save(sandbox.here / "picture.png")
    (sandbox.here / "cifar.tar.gz").write_bytes(b"no archive")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_any_words(sandbox, name):
    module = name.partition(" ")[0]

    def begins(*_, **__):
        raise UserError("what takes long begins here")

    @fuzz(15)
    @given(words(ARGUMENTS[name]))
    def ends(arguments):
        check(sandbox.run(module, *arguments))

    with pytest.MonkeyPatch.context() as patched:
        if module in BEGINS:
            patched.setattr(BEGINS[module], begins)
        ends()
