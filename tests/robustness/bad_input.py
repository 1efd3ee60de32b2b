"""Cases of bad input, one of each kind, and docs/robustness.md, which lists what becomes of them:

python tests/robustness/bad_input.py
"""

import dataclasses
import gzip
import io
import os
import pathlib
import pickle
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable

ROOT = pathlib.Path(__file__).parents[2]
if __name__ == "__main__":  # pytest has these from pyproject.toml
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from sandbox import Sandbox  # noqa: E402
from small_archives import Archives  # noqa: E402

PAGE = ROOT / "docs" / "robustness.md"
INTRODUCTION = """\
# Bad input

    python -m cifar_jax.main --config configs/quickstart.py --workdir runs/x --lr=0.1

ends with exit code 2 and

```text
error: unknown flag --lr; did you mean `--config.optimizer.learning_rate`?
```

What the command lines say to input that is wrong: an exit code, and one message on standard error, never a traceback.
Each row is run by the tests (`tests/robustness/test_bad_input.py`), and this page is written by `python
tests/robustness/bad_input.py`. Around these cases property-based tests draw others: overrides of configs, command
lines, archives, pickles, pictures and damage to a run's folder. `pytest -m thorough` draws ten times as many as
`pytest` alone, and with `CIFAR_JAX_FUZZ=50` fifty times those. They all hold that nothing hangs, that nothing is
written but in the workdir, the named outputs and the caches, that no program is started, and that what is printed
can't move a terminal's cursor. A file that unpacks to more than 500 MB, a picture of more than 50 million pixels or
200 MB, and a pickle that names any global but those of NumPy's integer arrays are refused before they are read.
`python tests/robustness/combinations.py 200 --seed 0` starts processes with random combinations of command, path,
environment variable and data set, and holds each to the same.

Exit codes: 1 some pictures could not be read and the others were answered, 2 config, data or command line.
"""
TRAIN = ("--config", "configs/quickstart.py", "--workdir", "runs/new")


@dataclasses.dataclass(frozen=True)
class Case:
    """A command line that is wrong, or names what is wrong.

    `make` gets the folder it is run in, which has configs/, a run in runs/first and cat.png.
    """

    group: str
    wrong: str
    command: str
    arguments: tuple
    make: Callable = lambda folder: None
    code: int = 2

    @property
    def id(self):
        return f"{self.group}: {self.wrong}"


def override(wrong, *values):
    return Case("Config", wrong, "main", (*TRAIN, *(f"--config.{value}" for value in values)))


def config_file(wrong, text):
    def make(folder):
        (folder / "mine.py").write_text(text)

    return Case("Config", wrong, "main", ("--config", "mine.py", "--workdir", "runs/new"), make)


def plugin(wrong, text, name="mine"):
    """A process may run several of these, so that each registers another name."""

    def make(folder):
        (folder / "my_models.py").write_text(text)

    own = "--plugin", "my_models.py", f"--config.model.name={name}"
    return Case("Plugin", wrong, "main", (*TRAIN, *own), make)


def archive(wrong, make):
    """`make` gets the path of the archive."""
    arguments = ("--archive", "cifar.tar.gz", "--data_dir", "data")
    return Case(
        "Archive", wrong, "data.prepare", arguments, lambda folder: make(folder / "cifar.tar.gz")
    )


def changed(form, **files):
    """An archive whose files of these names (`.` as `_`) have other contents: functions of the old ones."""

    def make(path):
        contents = Archives().files(form)
        for name in list(contents):
            if change := files.get(name.replace(".", "_")):
                contents[name] = change(contents[name])
        Archives().pack(
            path, form, {name: data for name, data in contents.items() if data is not None}
        )

    return make


def member(name, kind=tarfile.REGTYPE):
    """An archive whose first member is such a one."""

    def make(path):
        with tarfile.open(path, "w:gz") as tar:
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, "/etc/passwd"
            tar.addfile(header, io.BytesIO())

    return make


def bytes_of(change):
    """A sound archive with its bytes changed."""

    def make(path):
        Archives().make(path, "cifar10-binary")
        path.write_bytes(change(path.read_bytes()))

    return make


def bomb(path):
    """Half a megabyte that unpacks to 512."""
    header = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    header.size = 1 << 29
    with gzip.open(path, "wb", 9) as file:
        file.write(header.tobuf())
        for _ in range(513):
            file.write(bytes(1 << 20))


class Call:
    def __reduce__(self):
        return os.system, ("touch called",)


def picture(wrong, make=lambda path: None, name="picture.png"):
    """`make` gets the path of the picture."""
    arguments = ("--workdir", "runs/first", name)
    return Case("Picture", wrong, "predict", arguments, lambda folder: make(folder / name), code=1)


def weights(wrong, arrays):
    arguments = ("--model", "modified_net", "--source", "w.npz", "--target", "out.npz")
    return Case(
        "Weights", wrong, "weights", arguments, lambda folder: np.savez(folder / "w.npz", **arrays)
    )


def damaged(wrong, make):
    """`make` gets the folder of the run."""
    arguments = ("--workdir", "runs/first", "cat.png")
    return Case(
        "Checkpoint", wrong, "predict", arguments, lambda folder: make(folder / "runs/first")
    )


def every_file(pattern, content):
    def make(run):
        for path in run.glob(f"checkpoints/*/{pattern}"):
            if path.is_file():
                path.write_bytes(content)

    return make


def words(wrong, command, *arguments):
    return Case("Command line", wrong, command, arguments)


CASES = [
    override("a field that there is not", "learning_rte=0.1"),
    override("another trainer's word for a field", "lr=0.1"),
    override("a word for a number", "batch_size=many"),
    override("below its range", "batch_size=0"),
    override("above its range", "total_epochs=99999999999999999999"),
    override("not a number", "optimizer.learning_rate=nan"),
    override("a name that there is not", "optimizer.name=sdg"),
    override("a model that there is not", "model.name=basicnet"),
    override("an optimizer that Optax has not", "optimizer.name=optax:adabelive"),
    override("an optimizer that can't stand under a schedule", "optimizer.name=optax:schedule_free_sgd"),
    override("an option that the optimizer has not", "optimizer.options=b9=1"),
    override("options of another form", "optimizer.options=b1"),
    override("a layer that the model has not", "optimizer.layer_factors=conv9=0.1"),
    override("a strength of nothing", "augment.magnitude=5"),
    override("images too small for the model", "model.name=airbench_net", "augment.image_sizes=(8,)"),
    override("no such model in the box", "model.weights=pretrained:speedran"),
    override("a section for a value", "dataset=cifar10"),
    override("fields that contradict each other", "schedule.name=multistep"),
    override("more images a batch than there are", "batch_size=5000"),
    override("a data folder that is a URL", "dataset.name=cifar10", "dataset.data_dir=gs://bucket"),
    override("an archive for the embedded set", "dataset.archive=cifar.tar.gz"),
    override("weights that may hold code", "model.weights=weights.pt"),
    config_file("a syntax error", "def get_config(:\n"),
    config_file("a file that raises", "def get_config():\n    raise ValueError('broken')\n"),
    config_file("a file without get_config", "config = 1\n"),
    config_file("a file that returns something else", "def get_config():\n    return 3\n"),
    archive("none there", lambda path: None),
    archive("another kind of file", lambda path: path.write_bytes(b"PK\x03\x04 a zip")),
    archive("empty", lambda path: path.write_bytes(b"")),
    archive("truncated", bytes_of(lambda data: data[: len(data) // 2])),
    archive("a flipped bit in the checksum", bytes_of(lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:])),
    archive("unpacks to more than it may", bomb),
    archive("a member with `..`", member("../outside")),
    archive("a member with an absolute path", member("/outside")),
    archive("a symbolic link", member("link", tarfile.SYMTYPE)),
    archive("a hard link", member("link", tarfile.LNKTYPE)),
    archive("a device", member("device", tarfile.CHRTYPE)),
    archive("nothing of CIFAR in it", member("README")),
    archive("a batch is missing", changed("cifar10-binary", data_batch_4_bin=lambda data: None)),
    archive("a batch is cut short", changed("cifar10-binary", data_batch_3_bin=lambda data: data[:-1])),
    archive("a label out of range", changed("cifar10-binary", test_batch_bin=lambda data: b"\x0a" + data[1:])),
    archive("class names are missing", changed("cifar10-binary", batches_meta_txt=lambda data: b"cat\ndog\n")),
    archive("a pickle that calls code", changed("cifar10-python", test_batch=lambda _: pickle.dumps({"data": Call()}))),
    archive("a pickle that is no batch", changed("cifar10-python", test_batch=lambda data: pickle.dumps([1, 2]))),
    archive("a pickle cut short", changed("cifar10-python", test_batch=lambda data: data[:5000])),
    picture("none there"),
    picture("a folder without pictures", lambda path: path.mkdir(), "holiday"),
    picture("no picture", lambda path: path.write_bytes(b"hello")),
    picture("cut short", lambda path: path.write_bytes(cat()[:200])),
    picture("a pipe", os.mkfifo),
    picture("a link to nothing", lambda path: path.symlink_to("nothing.png")),
    picture("claims too many pixels", lambda path: path.write_bytes(b"P6 50000 50000 255\n"), "huge.ppm"),
    picture("a kind that could run a program", lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "a.eps"),
    picture("a name that moves the cursor", lambda path: path.write_bytes(b"text"), "a\x1b[2J\nb.png"),
    picture("pixels whose range nothing tells", lambda path: Image.new("I", (8, 8), 200).save(path), "deep.tiff"),
    weights("a value that is NaN", {"conv1.weight": [float("nan")]}),
    weights("two entries of one layer", {"conv1.weight": [0.0], "module.conv1.weight": [0.0]}),
    weights("entries of other layers", {"conv9.weight": [0.0]}),
    damaged("arrays are gone", lambda run: [shutil.rmtree(path) for path in run.glob("checkpoints/*/state")]),
    damaged("arrays are empty files", every_file("state/**/*", b"")),
    damaged("what it says of itself is no JSON", every_file("about/metadata", b"{")),
    damaged("what it says of itself is something else", every_file("about/metadata", b'{"config": 3}')),
    damaged("no checkpoint is left", lambda run: [shutil.rmtree(path) for path in run.glob("checkpoints/*")]),
    plugin("Python that can't be read", "def (:"),
    plugin("a plugin that raises", "raise ValueError('not today')"),
    plugin("it registers another model", "x = 1"),
    plugin("a name of ours", "from cifar_jax import models\nmodels.register('resnet18')(lambda num_classes: None)"),
    plugin("no number of classes", "from cifar_jax import models\nmodels.register('mine')(lambda: None)"),
    plugin("no Flax module", "from cifar_jax import models\nmodels.register('three')(lambda num_classes: 3)", "three"),
    words("no config", "main", "--workdir", "runs/new"),
    words("a plugin that there is not", "summary", "--plugin", "none.py"),
    words("no workdir", "main", "--config", "configs/quickstart.py"),
    words("a config file that there is not", "main", "--config", "none.py", "--workdir", "runs/new"),
    words("an unknown flag", "main", *TRAIN, "--wrkdir=runs/other"),
    words("a word too many", "main", *TRAIN, "stray"),
    words("the workdir is a file", "main", *TRAIN[:2], "--workdir", "cat.png"),
    words("a workdir that is a URL", "main", *TRAIN[:2], "--workdir", "gs://bucket/run"),
    words("an output that is a URL", "evaluate", "--workdir", "runs/first", "--out", "s3://bucket/run"),
    words("a name that is too long", "evaluate", "--workdir", "x" * 300),
    words("no such model in the box", "predict", "--workdir", "pretrained:speedran", "cat.png"),
    words("a checkpoint of the box", "predict", "--workdir", "pretrained:speedrun", "--checkpoint", "best", "cat.png"),
    words("a port that there is not", "serve", "--workdir", "runs/first", "--port", "70000"),
    words("no run there", "evaluate", "--workdir", "configs"),
    words("a checkpoint that there is not", "evaluate", "--workdir", "runs/first", "--checkpoint", "7"),
    words("no checkpoint's name", "evaluate", "--workdir", "runs/first", "--checkpoint", "9" * 5000),
    words("a split that there is not", "evaluate", "--workdir", "runs/first", "--split", "tset"),
    words("a run beside itself", "evaluate", "--compare", "runs/first", "runs/first"),
    words("a class that there is not", "gradcam", "--workdir", "runs/first", "--class", "cat"),
    words("a layer that there is not", "gradcam", "--workdir", "runs/first", "--layer", "conv9"),
    words("the run's own set", "ood", "--workdir", "runs/first", "--ood", "digits"),
    words("a platform that there is not", "export", "--workdir", "runs/first", "--out", "m", "--platforms", "amiga"),
    words("an output that is a folder", "report", "runs/first", "--out", "runs"),
    words("a value that is none", "predict", "--workdir=--", "cat.png"),
    words("a workdir that other machines can't find", "main", *TRAIN, "--ray_workers=2"),
    words("too many seeds", "sweep.__main__", "--config", "configs/sweeps/quickstart.py", *TRAIN[2:], "--runs=1000000"),
]  # fmt: skip


def cat():
    file = io.BytesIO()
    Image.effect_noise((60, 50), 80).save(file, "png")
    return file.getvalue()


def run(case, sandbox, workdir):
    """How a case ends: sandbox.Ended.

    Args:
        case: Case.
        sandbox: Sandbox, whose folder is made anew.
        workdir: of a finished run, which is copied.
    """
    shutil.rmtree(sandbox.here)
    shutil.copytree(ROOT / "configs", sandbox.here / "configs")
    shutil.copytree(workdir, sandbox.here / "runs/first")
    (sandbox.here / "cat.png").write_bytes(cat())
    case.make(sandbox.here)
    return sandbox.run(case.command, *case.arguments)


def message(ended, sandbox):
    """What a command line says on standard error, without the usage and the sandbox's place."""
    _, _, said = ended.errors.partition("error: ")
    return said.strip().replace(f"{sandbox.here}/", "")


def row(case, said):
    """A case's line of the table."""
    cells = (case.wrong, f"{case.code}", said if len(said) < 400 else f"{said[:400]} ...")
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def page(rows):
    """The whole page; `rows` are of all CASES, in their order."""
    parts = [INTRODUCTION]
    for group in dict.fromkeys(case.group for case in CASES):
        mine = [line for case, line in zip(CASES, rows, strict=True) if case.group == group]
        parts.append(
            f"## {group}\n\n| what is wrong | exit code | message |\n|---|---|---|\n"
            + "\n".join(mine)
            + "\n"
        )
    return "\n".join(parts)


def main():
    import conftest  # noqa: F401  Caches of its own.
    from command_line import MIRRORED, new_config
    from rich.console import Console

    from cifar_jax import train

    with tempfile.TemporaryDirectory() as folder:
        sandbox, workdir = Sandbox(pathlib.Path(folder) / "sandbox"), pathlib.Path(folder) / "run"
        train.train_and_evaluate(new_config(MIRRORED), workdir, Console(file=io.StringIO()))
        rows = [row(case, message(run(case, sandbox, workdir), sandbox)) for case in CASES]
    PAGE.write_text(page(rows))


if __name__ == "__main__":
    main()
