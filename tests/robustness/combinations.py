"""Random combinations of command, path, environment and data: each a real process that ends as it should.

    python tests/robustness/combinations.py 200 --seed 0
    python tests/robustness/combinations.py --only 17,42

Each ends in success, or in one line `error: ...` with an exit code from 2 to 4 (1 where predict could not read some of
the pictures). It says nothing else on stderr but the notes that are documented, changes nothing but what it was told to
write, leaves nothing half-written, and takes two minutes at most. Where neither path nor data give a reason not to, it
succeeds. A case is drawn from its number and the seed alone.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import nobody  # noqa: E402
from damages import flip_bit, truncate  # noqa: E402
from small_archives import FORMS, Archives  # noqa: E402
from xla import quick_flags  # noqa: E402

SECONDS = 120
CONFIG, SWEEP = (str(ROOT / "configs" / name) for name in ("quickstart.py", "sweeps/quickstart.py"))


# ---- What is drawn

# Folders that any file system takes, and everything works in.
NAMES = {
    "plain": "plain",
    "brackets": "x [1]",
    "pattern": "a*b?",
    "braces": "{a,b}",
    "newline": "a\nb",
    "quotes": 'it\'s "so" \\ $x^2$',
    "percent": "100%20",
    "hash": "#1",
    "other scripts": "é漢字🙂",
    "no text": os.fsdecode(b"\xff\xfe"),
    "255 bytes": "x" * 255,
}
WORKING = (*NAMES, "link to a folder")
# Places where nothing can be.
REFUSED = ("URL", "too long a name", "in a file", "of the wrong kind", "in /proc")
# Where nothing is yet: no input, but an output may be made.
EMPTY = ("missing folder", "unknown user's home", "link to nothing")
PATHS = (*WORKING, *REFUSED, *EMPTY)

# Environment -> what differs from the usual one; None takes a variable away.
ENVIRONMENTS = {
    "usual": {},
    "nobody": {"HOME": None, "XDG_CACHE_HOME": None, "JAX_COMPILATION_CACHE_DIR": None},
    "HOME=/proc": {"HOME": "/proc", "XDG_CACHE_HOME": None},
    "XDG_CACHE_HOME=/proc/x": {"XDG_CACHE_HOME": "/proc/x", "JAX_COMPILATION_CACHE_DIR": None},
    "JAX_COMPILATION_CACHE_DIR=/proc/x": {"JAX_COMPILATION_CACHE_DIR": "/proc/x"},
    "MPLCONFIGDIR=/proc/x": {"MPLCONFIGDIR": "/proc/x"},
    **{
        f"{name}={value}": {name: value}
        for name, value in (
            ("JAX_ENABLE_X64", "1"),
            ("JAX_DEFAULT_PRNG_IMPL", "rbg"),
            ("JAX_DEBUG_NANS", "1"),
            ("JAX_DISABLE_JIT", "0"),
            ("JAX_DISABLE_JIT", "garbage"),
            ("JAX_LOG_COMPILES", "garbage"),
            ("JAX_PLATFORMS", "nonsense"),
            ("JAX_NUM_CPU_DEVICES", "2"),
            ("XLA_FLAGS", "--xla_cpu_enable_fast_math=false"),
            ("TMPDIR", "/nowhere"),
            ("LC_ALL", "C"),
            ("TERM", "dumb"),
            ("COLUMNS", "20"),
            ("PYTHONOPTIMIZE", "1"),
            ("MPLBACKEND", "module://matplotlib_inline.backend_inline"),
            ("MPLBACKEND", "TkAgg"),
            ("TFDS_DATA_DIR", "/nowhere"),
            ("OMP_NUM_THREADS", "1"),
        )
    },
}
REFUSED_ENVIRONMENTS = ("JAX_LOG_COMPILES=garbage", "JAX_PLATFORMS=nonsense")

# Data -> (form of the official archive, images a batch).
SHAPES = {
    "cifar10-binary": ("cifar10-binary", 8),
    "cifar10-python": ("cifar10-python", 8),
    "cifar100-binary": ("cifar100-binary", 200),
    "cifar100-python": ("cifar100-python", 200),
    "a constant channel": ("cifar10-binary", 8),
    "a single class": ("cifar10-python", 8),
    "two images a class": ("cifar10-binary", 4),
    "damaged": ("cifar10-binary", 8),
}
DATA = ("digits", *SHAPES)
# With these a training may have a reason to refuse.
ODD = ("a single class", "two images a class", "damaged")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is run: `role` is the argument that gets the path, `absolute` whether it is given from the root on."""

    number: int
    command: str
    role: str
    path: str
    environment: str
    data: str
    absolute: bool

    def __str__(self):
        role = f"{self.role} {self.path}" if self.role else "no path"
        return f"{self.number:>4} {self.command:<21} {role:<31} {self.environment:<34} {self.data}"


def draw(number, seed, commands=None, data=DATA):
    """The case of a number."""
    chance = random.Random(f"{seed} {number}")
    command = chance.choice(list(commands or COMMANDS))
    role = chance.choice(COMMANDS[command].roles or ("",))
    kinds = chance.choice((WORKING, PATHS))
    return Case(
        number,
        command,
        role,
        chance.choice(kinds) if role else "plain",
        chance.choice(list(ENVIRONMENTS)),
        chance.choice(data),
        chance.random() < 0.5,
    )


# ---- What there is to be used


class Stock:
    """Archives, prepared sets and runs, each made once, when it is first asked for; cases take copies."""

    def __init__(self, folder, **runs):
        """runs: folders of runs that are there already, by their data."""
        self.folder, self._runs, self._lock = pathlib.Path(folder), runs, threading.RLock()
        for name in ("cache", "xla", "home", "tmp"):
            (self.folder / name).mkdir(parents=True)
        self.usual = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "xla"),
            "TMPDIR": str(self.folder / "tmp"),
            "XLA_FLAGS": quick_flags(0),
            "CIFAR_JAX_TUNING": "off",
        }

    def files(self, data):
        """{file name: content} of an archive."""
        form, count = SHAPES[data]
        files = dict(Archives().files(form, count))
        if data == "a constant channel":
            for name, content in files.items():
                if len(content) % 3073 == 0:
                    records = np.frombuffer(content, np.uint8).reshape(-1, 3073).copy()
                    records[:, 1025:2049] = 7
                    files[name] = records.tobytes()
        if data == "a single class":
            for name, content in files.items():
                batch = pickle.loads(content)
                if b"labels" in batch:
                    files[name] = pickle.dumps(batch | {b"labels": [3] * len(batch[b"labels"])})
        return files

    def archive(self, data):
        with self._lock:
            path = self.folder / f"{data}.tar.gz"
            if not path.exists():
                Archives().pack(path, SHAPES[data][0], self.files(data))
                if data == "damaged":
                    truncate(path)
            return path

    def extracted(self, data):
        """An archive's inner folder."""
        with self._lock:
            folder = self.folder / "extracted" / data
            if folder.exists():
                return next(folder.iterdir())
            inner = Archives().extract(folder, SHAPES[data][0], self.files(data))
            if data == "damaged":
                batch = max(inner.iterdir(), key=lambda path: path.stat().st_size)
                os.truncate(batch, batch.stat().st_size - 1)
            return inner

    def run(self, data):
        """A finished run. What is damaged with "damaged" is only the set that `prepared` gives."""
        data = "cifar10-binary" if data == "damaged" else data
        with self._lock:
            if data not in self._runs:
                folder = self.folder / "runs" / data
                options = training(data)
                if data != "digits":
                    options += [f"--config.dataset.archive={self.archive(data)}"]
                    options += [f"--config.dataset.data_dir={self.folder / 'data' / data}"]
                self._make("main", "--config", CONFIG, "--workdir", folder, *options)
                self._runs[data] = folder
            return self._runs[data]

    def weights(self):
        """A file of the weights of the run of the digits."""
        with self._lock:
            path = self.folder / "weights.npz"
            if not path.exists():
                self._make("weights", "--workdir", self.run("digits"), "--target", path)
            return path

    def _make(self, name, *arguments):
        start = [sys.executable, "-m", f"cifar_jax.{name}"]
        made = subprocess.run(
            [*start, *map(str, arguments)], env=self.usual, capture_output=True, text=True
        )
        if made.returncode:
            raise RuntimeError(f"{name} {arguments}: {made.stdout}{made.stderr}")

    def prepared(self, data):
        """The data folder of a prepared set."""
        self.run(data)
        if data != "damaged":
            return self.folder / "data" / data
        with self._lock:
            folder = self.folder / "data" / data
            if not folder.exists():
                shutil.copytree(self.folder / "data" / "cifar10-binary", folder)
                for path in folder.rglob("*_images.npy"):
                    flip_bit(path)
            return folder


def training(data):
    """Overrides for a training of a few steps."""
    options = ["total_epochs=1", "log_every_steps=10", "tensorboard=false"]
    if data == "digits":
        return [f"--config.{each}" for each in (*options, "batch_size=512")]
    name = FORMS[SHAPES[data][0]].name
    options += [f"dataset.name={name}", "dataset.validation_fraction=0.5", "batch_size=8"]
    return [f"--config.{each}" for each in options]


# ---- One case


class Stage:
    """A folder for one case: `here`, in which it is run, a home and a place for temporary files."""

    def __init__(self, case, stock, folder):
        self.case, self.stock, self.folder = case, stock, pathlib.Path(folder)
        self.here = self.folder / "here"
        for name in ("here", "home", "tmp"):
            (self.folder / name).mkdir(parents=True)
        self.may_change = []  # what the command was told to write

    def input(self, role, source, name=None):
        """A copy of a file or folder where the argument of a role is; the path as it is given."""
        path, exists = self._place(role, name or role, wants_folder=source.is_dir())
        if exists:
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.here / path)
        return self._given(role, path)

    def output(self, role, name=None, folder=True):
        """The path for what a role's argument names, as it is given."""
        path, _ = self._place(role, name or role, wants_folder=folder)
        self.may_change.append(self.here / path)
        return self._given(role, path)

    def _given(self, role, path):
        is_fixed = path.startswith(("/", "~", "gs:"))
        return path if is_fixed or not self.case.absolute else str(self.here / path)

    def _place(self, role, name, wants_folder):
        """(path from `here` on, whether an input is to be put there)."""
        kind = self.case.path if role == self.case.role else None
        if kind is None:
            return name, True
        if kind in NAMES:
            (self.here / NAMES[kind]).mkdir(exist_ok=True)
            return f"{NAMES[kind]}/{name}", True
        if kind == "link to a folder":
            (self.here / "real").mkdir()
            (self.here / "link").symlink_to("real")
            return f"link/{name}", True
        if kind == "in a file":
            (self.here / "file").write_text("text")
            return f"file/{name}", False
        if kind == "of the wrong kind":
            if wants_folder:
                (self.here / name).write_text("text")
            else:
                (self.here / name).mkdir()
        if kind == "link to nothing":
            (self.here / name).symlink_to("nothing")
            self.may_change.append(self.here / "nothing")
        places = {
            "URL": f"gs://bucket/{name}",
            "too long a name": f"{'x' * 300}/{name}",
            "in /proc": f"/proc/{name}",
            "missing folder": f"missing/{name}",
            "unknown user's home": f"~unknown/{name}",
        }
        return places.get(kind, name), False

    def overrides(self):
        """Of a training of the case's data, which it prepares from the archive."""
        data = self.case.data
        if data == "digits":
            return training(data)
        archive = self.input("archive", self.stock.archive(data), "cifar.tar.gz")
        where = self.output("data_dir")
        return [
            *training(data),
            f"--config.dataset.archive={archive}",
            f"--config.dataset.data_dir={where}",
        ]

    def of_run(self):
        """The arguments that name a run and its data."""
        run = self.input("run", self.stock.run(self.case.data))
        return ["--workdir", run, *self.data_dir()]

    def data_dir(self):
        if self.case.data == "digits":
            return []
        where = self.input("data_dir", self.stock.prepared(self.case.data))
        if self.case.data == "damaged":
            self.may_change.append(self.here / where)  # it is mended
        return ["--data_dir", where]

    def picture(self, name="picture.png"):
        path = self.folder / name
        Image.fromarray(np.arange(1200, dtype=np.uint8).reshape(20, 20, 3)).save(path)
        return path

    def snapshot(self):
        """{path: size and time of a file, target of a link, or None of a folder} of all but what may change."""
        entries = {}
        for folder, folders, names in os.walk(self.folder):
            for name in (*folders, *names):
                path = pathlib.Path(folder, name)
                status = path.lstat()
                if path.is_symlink():
                    entries[path] = os.readlink(path)
                else:
                    entries[path] = None if path.is_dir() else (status.st_size, status.st_mtime_ns)
        return entries


@dataclasses.dataclass(frozen=True)
class Command:
    """`line` takes a Stage and returns (module, arguments, look); `look` raises where what was made is not whole."""

    roles: tuple
    line: callable


def has(path, *names):
    """Looks whether a folder has files that are not empty."""

    def look(stage, _):
        for name in names:
            assert (stage.here / path / name).stat().st_size, f"{name} is empty"

    return look


def main(stage):
    out = stage.output("run")
    options = stage.overrides()
    config = stage.input("config", pathlib.Path(CONFIG), "config.py")
    return (
        "main",
        ["--config", config, "--workdir", out, *options],
        has(out, "summary.json", "metrics.jsonl"),
    )


def main_with_tensorboard(stage):
    module, arguments, look = main(stage)
    return module, [*arguments, "--config.tensorboard=true"], look


def main_again(stage):
    """A finished run, of data that are where they were."""
    run, data = stage.input("run", stage.stock.run(stage.case.data)), stage.case.data
    stage.may_change.append(stage.here / run)
    options = training(data)
    if data != "digits":
        where = stage.input("data_dir", stage.stock.prepared(data))
        options += [f"--config.dataset.data_dir={where}"]
        stage.may_change.append(stage.here / where)
    return (
        "main",
        ["--config", CONFIG, "--workdir", run, *options],
        has(run, "summary.json"),
    )


def main_from_weights(stage):
    """On the digits from weights of the digits."""
    weights, out = stage.input("weights", stage.stock.weights(), "w.npz"), stage.output("run")
    arguments = ["--config", CONFIG, "--workdir", out, *training("digits")]
    return "main", [*arguments, f"--config.model.weights={weights}"], has(out, "summary.json")


def sweep(stage):
    out = stage.output("run")
    options = stage.overrides()
    return (
        "sweep",
        ["--config", SWEEP, "--workdir", out, *options],
        has(out, "summary.md", "runs.csv"),
    )


def evaluate(stage):
    out = stage.output("out")
    arguments = [*stage.of_run(), "--no-speed", "--out", out]
    return "evaluate", arguments, has(out, "evaluation.json", "predictions.npz")


def evaluate_validation(stage):
    """Into the run's folder."""
    arguments = [*stage.of_run(), "--no-speed", "--no-figures", "--split", "validation"]
    stage.may_change.append(stage.here / arguments[1] / "evaluation")
    return "evaluate", arguments, lambda *_: None


def compare(stage):
    first, out = stage.of_run(), stage.output("out")
    second = stage.input("other", stage.stock.run(stage.case.data))
    arguments = ["--compare", first[1], second, *first[2:], "--out", out]
    return "evaluate", arguments, has(out, "comparison.json")


def predict(stage):
    run = stage.input("run", stage.stock.run(stage.case.data))
    pictures = stage.input("picture", stage.picture(), "picture.png")

    def look(_, printed):
        assert len(json.loads(printed)) == 1

    return "predict", ["--workdir", run, "--json", pictures], look


def predict_folder(stage):
    """With a picture that can't be read, and a file that is none."""
    run, pictures = stage.input("run", stage.stock.run(stage.case.data)), stage.folder / "several"
    pictures.mkdir()
    stage.picture("several/good.png")
    (pictures / "bad.png").write_bytes(b"no picture")
    (pictures / "notes.txt").write_text("text")
    return (
        "predict",
        ["--workdir", run, stage.input("picture", pictures, "pictures")],
        lambda *_: None,
    )


def gradcam(stage):
    out = stage.output("out")
    return (
        "gradcam",
        [*stage.of_run(), "--count", "2", "--out", out],
        has(out, "gradcam.png", "gradcam.npz"),
    )


def gradcam_images(stage):
    out, picture = stage.output("out"), stage.input("picture", stage.picture(), "picture.png")
    run = stage.input("run", stage.stock.run(stage.case.data))
    return (
        "gradcam",
        ["--workdir", run, "--images", picture, "--out", out],
        has(out, "gradcam.svg"),
    )


def list_layers(stage):
    run = stage.input("run", stage.stock.run(stage.case.data))

    def look(_, printed):
        assert "conv1" in printed

    return "gradcam", ["--workdir", run, "--list-layers"], look


def ood(stage):
    out = stage.output("out")
    arguments = ["--ood", "noise", "--count", "20", "--train_count", "20", "--out", out]
    return "ood", [*stage.of_run(), *arguments], has(out, "ood.json")


def report(stage):
    out = stage.output("out", "page.html", folder=False)
    named, run, *data = stage.of_run()
    stage.may_change.append(stage.here / run / "evaluation")

    def look(stage, _):
        assert (stage.here / out).read_text().rstrip().endswith("</html>")

    return "report", [run, *data, "--out", out, "--images", "4"], look


def export(stage):
    out = stage.output("out", "model.jaxexport", folder=False)
    stage.may_change.append(pathlib.Path(f"{stage.here / out}.json"))
    run = stage.input("run", stage.stock.run(stage.case.data))
    return "export", ["--workdir", run, "--out", out, "--platforms", "cpu"], has(out, "")


def weights(stage, suffix=".npz"):
    out = stage.output("out", f"w{suffix}", folder=False)
    run = stage.input("run", stage.stock.run(stage.case.data))

    def look(stage, _):
        from cifar_jax.models import weight_files

        assert weight_files.read(str(stage.here / out))

    return "weights", ["--workdir", run, "--target", out], look


def summary(stage):
    def look(_, printed):
        assert json.loads(printed)

    return "summary", ["--model", "basic_net", "--json"], look


def prepare(stage):
    return _prepare(stage, stage.stock.archive, "cifar.tar.gz")


def prepare_extracted(stage):
    return _prepare(stage, stage.stock.extracted, "extracted")


def _prepare(stage, source, name):
    data = "cifar100-binary" if stage.case.data == "digits" else stage.case.data
    archive, out = stage.input("archive", source(data), name), stage.output("data_dir")

    def look(stage, _):
        assert list((stage.here / out).rglob("*_images.npy"))

    return "data.prepare", ["--archive", archive, "--data_dir", out], look


OF_RUN = ("run", "run", "data_dir")
COMMANDS = {
    "main": Command(("run", "archive", "data_dir", "config"), main),
    "main, TensorBoard": Command(("run",), main_with_tensorboard),
    "main again": Command(OF_RUN, main_again),
    "main from weights": Command(("weights", "run"), main_from_weights),
    "sweep": Command(("run",), sweep),
    "evaluate": Command((*OF_RUN, "out"), evaluate),
    "evaluate validation": Command(OF_RUN, evaluate_validation),
    "evaluate --compare": Command(("run", "other", "out"), compare),
    "predict": Command(("run", "picture"), predict),
    "predict folder": Command(("run", "picture"), predict_folder),
    "gradcam": Command((*OF_RUN, "out"), gradcam),
    "gradcam --images": Command(("run", "picture", "out"), gradcam_images),
    "gradcam --list-layers": Command(("run",), list_layers),
    "ood": Command((*OF_RUN, "out"), ood),
    "report": Command((*OF_RUN, "out"), report),
    "export": Command(("run", "out"), export),
    "weights .npz": Command(("run", "out"), weights),
    "weights .safetensors": Command(
        ("run", "out"), functools.partial(weights, suffix=".safetensors")
    ),
    "summary": Command((), summary),
    "data.prepare": Command(("archive", "data_dir"), prepare),
    "data.prepare FOLDER": Command(("archive", "data_dir"), prepare_extracted),
}
CHEAP = ("predict", "predict folder", "gradcam --list-layers", "weights .npz", "summary")
MAKE_RUNS = ("main", "main, TensorBoard", "main again", "main from weights", "sweep")
MAKE_DATA = ("main", "data.prepare", "data.prepare FOLDER")


def is_output(case):
    """Whether the argument that has the case's path names what is yet to be made."""
    return (
        case.role == "out"
        or (case.role == "run" and case.command in MAKE_RUNS)
        or (case.role == "data_dir" and case.command in MAKE_DATA)
    )


def expected(case):
    """The exit codes that a case may have."""
    success = {1} if case.command == "predict folder" else {0}
    of_picture = {1} if case.role == "picture" and case.command.startswith("predict") else {2}
    trains = case.command in ("main", "main, TensorBoard", "sweep")
    unused = case.data == "digits" and case.role in ("archive", "data_dir")
    if case.environment in REFUSED_ENVIRONMENTS:
        return success | {1, 2}
    if case.data == "damaged" and (trains or case.command.startswith("data.prepare")):
        return {2}
    if case.data in ODD and case.command != "summary":
        success = success | {2}
    if not case.role or case.path in WORKING:
        return success
    if unused and not case.command.startswith("data.prepare"):
        return success | {2}
    if case.role == "data_dir" and case.path != "URL":
        # A run's archive is there still, and what can't be written has a stand-in.
        return success | {2}
    if case.path in REFUSED:
        return of_picture | {2} if case.path == "URL" else of_picture
    return success | {2} if is_output(case) else of_picture


# What may stand on stderr beside the error, see docs/training.md.
NOTES = (
    r"not heeded: \S.*, as the numbers are the same whatever the environment",
    r".*: caches are in \S+ \(XDG_CACHE_HOME names another place\)",
    r"\S+ can't be written: compiled programs are not kept",
)
SHADY = re.compile(r"Traceback|Warning|warning:|^\w*Error:|\[WARN|^[EWF]\d{4} |\bDEBUG\b", re.M)
HALF_WRITTEN = re.compile(r"orbax-checkpoint-tmp|incomplete|partial|\.tmp|^tmp")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a case ended; its code is None where it did not."""

    case: Case
    code: int | None
    faults: tuple
    seconds: float
    printed: str
    errors: str

    def __str__(self):
        code = "hangs" if self.code is None else self.code
        return f"{self.case!s:<116} {code!s:>5} {self.seconds:>6.1f} s  {'; '.join(self.faults)}"


def run(case, stock, folder):
    """Runs a case in a new folder; returns an Ended."""
    stage = Stage(case, stock, folder)
    module, arguments, look = COMMANDS[case.command].line(stage)
    environment = stock.usual | {
        "HOME": str(stage.folder / "home"),
        "TMPDIR": str(stage.folder / "tmp"),
    }
    environment |= ENVIRONMENTS[case.environment]
    environment = {name: value for name, value in environment.items() if value is not None}
    start = nobody.UNSHARE if case.environment == "nobody" else []
    before, began = stage.snapshot(), time.monotonic()
    process = subprocess.Popen(
        [*start, sys.executable, "-m", f"cifar_jax.{module}", *map(str, arguments)],
        cwd=stage.here, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        printed, errors = process.communicate(timeout=SECONDS)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, errors = process.communicate()
        code = None
    seconds, after = time.monotonic() - began, stage.snapshot()
    faults = [*_faults_said(case, code, printed, errors), *_faults_left(stage, code, before, after)]
    if code == 0:
        try:
            look(stage, printed)
        except Exception as error:
            faults.append(f"not made: {error!r}"[:300])
    return Ended(case, code, tuple(faults), seconds, printed, errors)


def _faults_said(case, code, printed, errors):
    if code is None:
        yield f"no end after {SECONDS} s"
        return
    if code not in expected(case):
        yield f"exit code {code}, not {' or '.join(map(str, sorted(expected(case))))}"
    lines = [
        line for line in errors.splitlines() if not any(re.fullmatch(note, line) for note in NOTES)
    ]
    if code == 0 and lines:
        yield f"on stderr: {lines[0]}"
    if code == 1 and (case.command.split()[0] != "predict" or not lines):
        yield "exit code 1"
    if code > 1 and (len(lines) != 1 or not re.match(r"error: \S", lines[0])):
        yield f"{len(lines)} lines on stderr"
    if shady := SHADY.search(printed + errors):
        yield f"says {shady[0]!r}"
    if not re.sub(r"[\n\t]", "", printed + errors).isprintable():
        yield "what is not printable"


def _faults_left(stage, code, before, after):
    changed = {
        path
        for path in before.keys() | after.keys()
        if before.get(path, "none") != after.get(path, "none")
    }

    places = {place for each in stage.may_change for place in (each, each.resolve())}

    def may(path):
        return any(path.is_relative_to(each) or each.is_relative_to(path) for each in places)

    def of_caches(path):
        """What libraries keep for their next start."""
        if path == stage.folder / "home/.config":
            return True
        caches = ("tmp/cifar_jax_", "home/.config/matplotlib", "home/.cache")
        return str(path.relative_to(stage.folder)).startswith(caches)

    def is_prepared(path):
        """Of a whole data set, or a folder that has one."""
        return any(path.is_relative_to(each) or each.is_relative_to(path) for each in prepared)

    prepared = {path.parents[1] for path in after if path.name == "train_labels.npy"}
    for path in sorted(changed):
        name = str(path.relative_to(stage.folder))
        if "gs:" in path.parts:
            yield f"a folder of a URL: {name!r}"
        elif not may(path) and not of_caches(path):
            yield f"changed: {name!r}"
        elif HALF_WRITTEN.search(path.name) and path in after and not of_caches(path):
            yield f"left: {name!r}"
        elif code == 2 and after.get(path) and not is_prepared(path) and not of_caches(path):
            yield f"left by a command that refuses: {name!r}"


def run_all(cases, stock, folder, jobs, say):
    """Runs cases beside each other; calls say(Ended) for each, in order; returns them."""

    def one(case):
        place = pathlib.Path(folder) / f"case{case.number}"
        try:
            return run(case, stock, place)
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(place)

    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for ended in pool.map(one, cases):
            outcomes.append(ended)
            say(ended)
    return outcomes


def command_line():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="numbers, with commas between")
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument("--verbose", action="store_true", help="print what each says on stderr")
    parser.add_argument("--jobs", type=int, default=2, help="beside each other; 2")
    options = parser.parse_args()
    numbers = range(options.count)
    if options.only:
        numbers = [int(number) for number in options.only.split(",")]
    cases = [draw(number, options.seed) for number in numbers]
    if not nobody.possible():
        print("user namespaces are not to be had here: without those of nobody")
        cases = [case for case in cases if case.environment != "nobody"]
    if options.list:
        print(*cases, sep="\n")
        return

    def say(ended):
        print(repr(str(ended))[1:-1].replace("\\'", "'"), flush=True)
        if ended.faults or options.verbose:
            text = ended.errors[-4000:] or ended.printed[-2000:] if ended.faults else ended.errors
            print("".join(f"       | {line}\n" for line in text.splitlines()), end="", flush=True)

    with tempfile.TemporaryDirectory(prefix="combinations_") as folder:
        stock = Stock(pathlib.Path(folder) / "stock")
        outcomes = run_all(cases, stock, folder, options.jobs, say)
    codes = [ended.code for ended in outcomes]
    counts = ", ".join(
        f"{codes.count(code)} with {'a time limit' if code is None else code}"
        for code in sorted(set(codes), key=str)
    )
    failed = [ended.case.number for ended in outcomes if ended.faults]
    print(
        f"{len(outcomes)} combinations, seed {options.seed}: ended {counts}; {len(failed)} with faults {failed}"
    )
    sys.exit(bool(failed))


if __name__ == "__main__":
    command_line()
