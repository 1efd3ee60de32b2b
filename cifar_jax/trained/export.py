"""A trained model as one file of StableHLO, for JAX and NumPy alone."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib

from cifar_jax.errors import UserError
from cifar_jax.machine import files

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
DEFAULT_PLATFORMS = ("cpu", "cuda", "tpu")
# JAX writes the version of StableHLO that was current four weeks before its release, which an older JAX and
# TensorFlow do not read. All our models can be said in this one, and docs/export.md tells who reads it.
STABLEHLO = "1.9.0"
MAX_BATCH = 4_096


def probabilities(inference, variables, images):
    """Return the softmax of the run's own evaluation.

    Args:
        inference: of the run.
        variables: of the model.
        images: uint8 [B, H, W, C].
    Returns:
        float32 [B, num_classes].
    """
    import jax
    import jax.numpy as jnp

    logits = inference.logits(variables, inference.normalize(images))
    return jax.nn.softmax(logits.astype(jnp.float32))


def portable(run):
    """Return `probabilities` of a run's model as a function of images alone, which is right on every platform.

    Each platform is traced in its own formulations, whichever machine traces; the weights are shared, and XLA
    drops the other platforms' before it compiles. On two cores resnet18_dw then takes 0.13 s for 64 images, as
    unexported; in the accelerators' formulations 0.45 s.
    """
    import jax

    from cifar_jax.models.ops import choice

    def traced(formulations):
        def call(variables, images):
            with formulations():
                return probabilities(run.inference, variables, images)

        return call

    def call(images):
        return jax.lax.platform_dependent(
            run.variables,
            images,
            cpu=traced(lambda: choice.formulations_of("cpu")),
            default=traced(choice.plain_formulations),
        )

    return call


def export(run, platforms=DEFAULT_PLATFORMS, batch=None):
    """Export the model as a jax.export.Exported: uint8 [b, H, W, C] -> float32 [b, num_classes].

    Args:
        run: trained.Trained.
        platforms: some of PLATFORMS.
        batch: b; None for a symbol, which stands for any number from 1 on.
    Raises:
        UserError: of `at_version`.
    """
    import jax
    from jax import export as jax_export

    shape = jax_export.symbolic_shape(", ".join(map(str, (batch or "b", *run.image_shape))))
    images = jax.ShapeDtypeStruct(shape, "uint8")
    with no_source_locations():
        exported = jax_export.export(jax.jit(portable(run)), platforms=platforms)(images)
    return at_version(exported, STABLEHLO)


def at_version(exported, version):
    """Write a jax.export.Exported anew in another version of StableHLO.

    Raises:
        UserError: it can't be said in that version.
    """
    import jax
    from jax.extend.mlir.dialects import stablehlo

    module = stablehlo.deserialize_portable_artifact_str(exported.mlir_module_serialized)
    try:
        module = stablehlo.serialize_portable_artifact_str(module, version)
    except ValueError as error:
        raise UserError(
            f"jax {jax.__version__} can't write this model in StableHLO {version}, which older readers know; "
            "export it with an older jax (pip install 'jax<0.13')"
        ) from error
    return dataclasses.replace(exported, mlir_module_serialized=module)


@contextlib.contextmanager
def no_source_locations():
    """Keep the folders of this machine out of a program that is lowered inside: its bytes are the same anywhere."""
    import jax

    wanted = {
        "jax_hlo_source_file_canonicalization_regex": ".*",
        "jax_include_full_tracebacks_in_locations": False,
    }
    before = {name: getattr(jax.config, name) for name in wanted if hasattr(jax.config, name)}
    try:
        for name in before:
            jax.config.update(name, wanted[name])
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def describe(run, batch, content, name, versions, **form):
    """Return what stands beside the file, JSON-able.

    Args:
        run: trained.Trained.
        batch: images of a call, None for any number.
        content: the file's bytes.
        name: the file's.
        versions: of what wrote it, {package: version}.
        form: what else a reader of such files asks for.
    """
    any_batch = "" if batch else "; b is any number from 1 on"
    batch = batch or "b"
    return {
        "format": 1,
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        **form,
        "input": {
            "dtype": "uint8",
            "shape": [batch, *run.image_shape],
            "meaning": f"RGB pixels of 0 to 255, not normalised{any_batch}",
        },
        "output": {
            "dtype": "float32",
            "shape": [batch, run.inference.num_classes],
            "meaning": "probabilities of class_names",
        },
        "class_names": [str(each) for each in run.dataset.class_names],
        "model": run.config.model.name,
        "checkpoint": run.checkpoint,
        "step": run.step,
        "dataset": {"name": run.dataset.name, "fingerprint": run.dataset.fingerprint},
        "versions": versions,
    }


def of_program(exported):
    """Return what who reads the file asks for: of a jax.export.Exported, for `describe`."""
    return {
        "platforms": list(exported.platforms),
        "calling_convention_version": exported.calling_convention_version,
        "stablehlo_version": STABLEHLO,
    }


def check_target(option, path, example):
    """Check that a file can be written, before anything is computed.

    Args:
        option: of the command line, that names it.
        path: the file's.
        example: of a name.
    Returns:
        pathlib.Path, or None where no path is given.
    Raises:
        UserError: its folder is not there or can't be written, or it is a folder itself.
    """
    if not path:
        return None
    path = pathlib.Path(os.path.expanduser(path))
    if os.path.isdir(path):
        raise UserError(f"{option} {path} is a folder; give a file, such as {path / example}")
    if not os.path.isdir(path.parent):
        raise UserError(f"can't write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"can't write {path}: the folder {path.parent} can't be written")
    return path


def check_apart(files, folder):
    """Check that no two of the files, the ones beside them and the folder have one name.

    Raises:
        UserError: two have.
    """
    names = [each.resolve() for file in files for each in (file, beside(file))]
    names += [pathlib.Path(os.path.expanduser(folder)).resolve()] if folder else []
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two things would be written as {name}; choose other names")


@contextlib.contextmanager
def writing(path, content, about):
    """Write the file and the one beside it, which get their names at the end: both, or neither if anything is raised.

    Args:
        path: pathlib.Path of the file.
        content: its bytes.
        about: JSON-able dict, of `describe`.
    Yields:
        pathlib.Path where the file is until then.
    Raises:
        UserError: they can't be written.
    """
    text = json.dumps(about, indent=1, allow_nan=False) + "\n"
    with (
        files.refusals(path),
        files.replacing(path) as partial,
        files.replacing(beside(path)) as partial_beside,
    ):
        partial_beside.write_text(text)
        partial.write_bytes(content)
        yield partial


def beside(path):
    """Return the path of the JSON beside a file, which says what else one wants to know."""
    return path.with_name(f"{path.name}.json")


def how_to_load(path, images):
    """Return the lines of Python that load a file, with the expression `images` for the images there."""
    return (
        "import jax, numpy as np\n"
        "from jax import export\n"
        f"model = jax.jit(export.deserialize(open({str(path)!r}, 'rb').read()).call)\n"
        f"images = {images}\n"
        "probabilities = np.asarray(model(images))"
    )


def checked_platforms(text):
    """Read the platforms that --platforms names, each once.

    Raises:
        UserError: none, or an unknown one.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or set(names) - set(PLATFORMS):
        raise UserError(f"--platforms are some of {', '.join(PLATFORMS)}, not {text!r}")
    return names
