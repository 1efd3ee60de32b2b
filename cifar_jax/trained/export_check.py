"""Calls what `export` wrote as its readers will, in a process without our code, and compares with the run."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile

import jax
import numpy as np
from scipy import special

from cifar_jax import trained
from cifar_jax.errors import UserError

IMAGES = 3

# How far apart two compilations of one network may answer. In float32 they differ by the order of its sums, 1e-5 in
# the deepest of our models; bfloat16 keeps 8 bits of each layer's output, and an accelerator multiplies float32 in
# TF32 (11 bits) or in bfloat16. A file that is misread answers with other classes.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}

PROGRAM = """
import pathlib, sys
sys.modules['cifar_jax'] = None  # it can't be imported
try:
    exec(pathlib.Path('lines.py').read_text())
    np.save('probabilities.npy', probabilities)
except Exception as error:
    pathlib.Path('error.txt').write_text(f'{type(error).__name__}: {error}')
    sys.exit(1)
"""


def questions(shape, count):
    """Draw noise from nearly grey to full contrast, so that a network is sure of some and unsure of others.

    Args:
        shape: [H, W, C].
        count: B.
    Returns:
        uint8 [B, H, W, C].
    """
    noise = np.random.default_rng(0).uniform(-1, 1, (count, *shape))
    contrast = (np.arange(count) + 1).reshape(-1, 1, 1, 1) / count
    return np.round(127.5 * (1 + contrast * noise)).astype(np.uint8)


def own_answers(run, images):
    """Return the probabilities of the run's own evaluation: float [B, num_classes]."""
    return special.softmax(trained.logits(run, images).astype(np.float64), axis=1)


def tolerance(run):
    precise = jax.default_backend() == "cpu" and run.inference.dtype == np.float32
    return TOLERANCE["float32" if precise else "bfloat16"]


def platform_here(platforms):
    """Return one of `platforms` that another process can use on this machine, an accelerator first; "" for none."""
    for name in ("cuda", "rocm"):  # not "tpu", which this process holds alone
        with contextlib.suppress(RuntimeError):
            if name in platforms and jax.devices(name):
                return name
    return "cpu" if "cpu" in platforms else ""


def call(lines, images, environment):
    """Run Python lines on images, in a process of its own.

    Args:
        lines: read images.npy and set `probabilities`.
        images: uint8 [B, H, W, C].
        environment: of the process.
    Returns:
        array of `probabilities`.
    Raises:
        ValueError: the process failed; in words.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.save(folder / "images.npy", images)
        (folder / "lines.py").write_text(lines)
        command = [sys.executable, "-c", PROGRAM]
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
        if not ended.returncode:
            return np.load(folder / "probabilities.npy")
        error = folder / "error.txt"
        why = error.read_text() if error.exists() else f"it ended with code {ended.returncode}"
    raise ValueError(" ".join(why.split())[:300])


@dataclasses.dataclass(frozen=True)
class Reader:
    """A program that calls something that was written."""

    name: str  # with its version
    of: str  # what was written
    lines: str  # of Python, for `call`
    platform: str  # where it is called; "" where this machine can't
    environment: dict
    way_out: str  # what to do if it fails


def of_file(path, lines, platforms):
    """Return the reader of a .jaxexport.

    Args:
        path: of what the user asked for.
        lines: of Python, for `call`.
        platforms: of the file.
    """
    platform = platform_here(platforms)
    environment = os.environ | {
        "JAX_PLATFORMS": platform,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # of a GPU it takes what it needs
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",  # it runs once: half the time to compile
    }
    way_out = "give a fixed batch (--batch 1), other --platforms, or use another jax"
    return Reader(f"jax {jax.__version__}", str(path), lines, platform, environment, way_out)


def of_saved_model(path, lines, platforms, tensorflow):
    """Return the reader of a SavedModel, on the CPU alone; as `of_file`, and TensorFlow's version."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    # The flags are for JAX's own XLA; another XLA ends at one that it does not know.
    environment.pop("XLA_FLAGS", None)
    platform = "cpu" if "cpu" in platforms else ""
    way_out = "give a fixed batch (--batch 1), use another TensorFlow, or leave --savedmodel away"
    return Reader(f"TensorFlow {tensorflow}", str(path), lines, platform, environment, way_out)


def of_onnx(path, lines, version):
    """Return the reader of an ONNX file, on the CPU alone; as `of_file`, and onnxruntime's version."""
    way_out = "give a fixed batch (--batch 1), use another onnxruntime, or leave --onnx away"
    return Reader(f"onnxruntime {version}", str(path), lines, "cpu", dict(os.environ), way_out)


def check(run, images, readers):
    """Compare what each reader says with what the run says.

    Args:
        run: trained.Trained.
        images: uint8 [B, H, W, C].
        readers: list of Reader.
    Returns:
        list of lines, one for each that can't be called on this machine.
    Raises:
        UserError: a reader fails, or says something else; one line.
    """
    expected = own_answers(run, images) if any(reader.platform for reader in readers) else None
    unable = []
    for reader in readers:
        if not reader.platform:
            unable.append(f"{reader.of} was not called here: no platform of it is on this machine")
            continue
        way_out = f"nothing was written; {reader.way_out}"
        try:
            answers = call(reader.lines, images, reader.environment)
        except ValueError as error:
            raise UserError(
                f"{reader.name} can't call what jax {jax.__version__} exported ({error}); {way_out}"
            ) from error
        if not np.allclose(answers, expected, rtol=0, atol=tolerance(run), equal_nan=True):
            apart = np.nanmax(np.abs(answers - expected))
            raise UserError(
                f"{reader.name} gives other probabilities than the run (by up to {apart:.2g}) with what jax "
                f"{jax.__version__} exported; {way_out}"
            )
    return unable
