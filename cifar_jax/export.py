"""Writes a trained model as one file that needs JAX and NumPy alone:

  python -m cifar_jax.export --workdir runs/resnet18 --out resnet18.jaxexport
  python -m cifar_jax.export --workdir runs/resnet18 --out resnet18.jaxexport --savedmodel resnet18_tf

In: RGB pixels of 0 to 255, uint8 [B, 32, 32, 3], any B from 1 on, or --batch. Out: probabilities, float32
[B, classes]. Normalisation, the run's test-time augmentation and softmax are inside; so are the weights. The file is
of `jax.export` and holds StableHLO for each of --platforms, with the operations that are fastest on each: on the CPU
those that the training takes there, elsewhere XLA's own. JAX promises to read it for six months at least.

Beside it, with .json behind its name, stands what else one wants to know: class names in the order of the
probabilities, shapes, checkpoint, fingerprint of the data, versions. The data set itself is not needed.

--savedmodel also writes a TensorFlow SavedModel of the same program, whose `serving_default` takes `images` and
gives `probabilities`. That needs TensorFlow.

Both are called once before they get their names, in processes without our code, and have to say what the run says.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import sys

from cifar_jax import command_line, saved_model
from cifar_jax.errors import UserError

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
DEFAULT_PLATFORMS = ("cpu", "cuda", "tpu")

# JAX writes the version of StableHLO that was current four weeks before its release, which an older JAX and
# TensorFlow do not read. All our models can be said in this one, and README tells who reads it.
STABLEHLO = "1.9.0"

MAX_BATCH = 4_096


def probabilities(recipe, variables, images):
    """The softmax of the run's own evaluation.

    Args:
        recipe: steps.Recipe.
        variables: of the model.
        images: uint8 [B, H, W, C].
    Returns:
        float32 [B, num_classes].
    """
    import jax
    import jax.numpy as jnp

    from cifar_jax import steps

    logits = steps.evaluation_logits(recipe, variables, recipe.normalize(images))
    return jax.nn.softmax(logits.astype(jnp.float32))


def portable(run):
    """`probabilities` of a run's model as a function of images alone, which is right on every platform.

    Each platform is traced in its own formulations, whichever machine traces; the weights are shared, and XLA
    drops the other platforms' before it compiles. On two cores resnet18_dw then takes 0.13 s for 64 images, as
    it does unexported; in the accelerators' formulations it took 0.45 s.
    """
    import jax

    from cifar_jax.models import layers

    def traced(formulations):
        def call(variables, images):
            with formulations():
                return probabilities(run.recipe, variables, images)

        return call

    def call(images):
        return jax.lax.platform_dependent(
            run.variables,
            images,
            cpu=traced(layers.cpu_formulations),
            default=traced(layers.plain_formulations),
        )

    return call


def image_shape(run):
    from cifar_jax import models

    return models.lookup(run.config.model.name).input_shape


def export(run, platforms=DEFAULT_PLATFORMS, batch=None):
    """The model as a jax.export.Exported: uint8 [b, H, W, C] -> float32 [b, num_classes].

    Args:
        run: trained.Trained.
        platforms: some of PLATFORMS.
        batch: b; None for a symbol, which stands for any number from 1 on.
    Raises:
        UserError: of `at_version`.
    """
    import jax
    from jax import export as jax_export

    shape = jax_export.symbolic_shape(", ".join(map(str, (batch or "b", *image_shape(run)))))
    images = jax.ShapeDtypeStruct(shape, "uint8")
    with no_source_locations():
        exported = jax_export.export(jax.jit(portable(run)), platforms=platforms)(images)
    return at_version(exported, STABLEHLO)


def at_version(exported, version):
    """The same jax.export.Exported in another version of StableHLO.

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
    """Keeps the folders of this machine out of what is lowered inside; its bytes are then the same anywhere."""
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


def describe(run, exported, content, name, versions):
    """What stands beside the file, JSON-able.

    Args:
        run: trained.Trained.
        exported: of `export`.
        content: the file's bytes.
        name: the file's.
        versions: of what wrote it, {package: version}.
    """
    (images,) = exported.in_avals
    batch, *shape = (each if isinstance(each, int) else str(each) for each in images.shape)
    any_batch = "; b is any number from 1 on" if isinstance(batch, str) else ""
    return {
        "format": 1,
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "platforms": list(exported.platforms),
        "calling_convention_version": exported.calling_convention_version,
        "stablehlo_version": STABLEHLO,
        "input": {
            "dtype": "uint8",
            "shape": [batch, *shape],
            "meaning": f"RGB pixels of 0 to 255, not normalised{any_batch}",
        },
        "output": {
            "dtype": "float32",
            "shape": [batch, run.recipe.num_classes],
            "meaning": "probabilities of class_names",
        },
        "class_names": [str(each) for each in run.dataset.class_names],
        "model": run.config.model.name,
        "checkpoint": run.checkpoint,
        "step": run.step,
        "dataset": {"name": run.dataset.name, "fingerprint": run.dataset.fingerprint},
        "versions": versions,
    }


def check_target(path):
    """Says before anything is computed that a file can't be written.

    Returns:
        pathlib.Path.
    Raises:
        UserError: its folder is not there or can't be written, or it is a folder itself.
    """
    path = pathlib.Path(os.path.expanduser(path))
    if os.path.isdir(path):
        raise UserError(
            f"--out {path} is a folder; give a file, such as {path / 'model.jaxexport'}"
        )
    if not os.path.isdir(path.parent):
        raise UserError(f"can't write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"can't write {path}: the folder {path.parent} can't be written")
    return path


@contextlib.contextmanager
def writing(path, content, about):
    """Writes the file and the one beside it, which get their names at the end: both, or neither if anything is raised.

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
    files = {beside(path): text.encode(), path: content}
    partial = {each: each.with_name(f".{each.name}.partial") for each in files}
    try:
        with saved_model.refusals(path):
            for each, data in files.items():
                partial[each].write_bytes(data)
        yield partial[path]
        with saved_model.refusals(path):
            for each in files:
                partial[each].replace(each)
    finally:
        for each in partial.values():
            with contextlib.suppress(OSError):
                each.unlink()


def beside(path):
    """Where stands what else one wants to know of a file."""
    return path.with_name(f"{path.name}.json")


def how_to_load(path, images):
    """The lines of Python that load a file; `images` is what stands for them there."""
    return (
        "import jax, numpy as np\n"
        "from jax import export\n"
        f"model = jax.jit(export.deserialize(open({str(path)!r}, 'rb').read()).call)\n"
        f"images = {images}\n"
        "probabilities = np.asarray(model(images))"
    )


def _parse(argv):
    parser = command_line.make_parser("export", __doc__)
    command_line.add_run_arguments(parser, "--workdir", "--checkpoint")
    parser.add_argument("--out", metavar="FILE", required=True, help="such as model.jaxexport")
    parser.add_argument(
        "--platforms",
        metavar="NAMES",
        default=",".join(DEFAULT_PLATFORMS),
        help=f"of {', '.join(PLATFORMS)}, with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="images of every call (default: any number)"
    )
    parser.add_argument("--savedmodel", metavar="FOLDER", help="a new one, for TensorFlow as well")
    parser.add_argument(
        "--data_dir",
        metavar="FOLDER",
        help="of the data set; of use only for a run of an older version, which did not keep the classes' names",
    )
    return parser.parse_args(argv)


def checked_platforms(text):
    """The platforms that --platforms names, each once.

    Raises:
        UserError: none, or an unknown one.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or set(names) - set(PLATFORMS):
        raise UserError(f"--platforms are some of {', '.join(PLATFORMS)}, not {text!r}")
    return names


def _run(arguments):
    """What a command line asks for; yields the lines to print."""
    path, platforms = check_target(arguments.out), checked_platforms(arguments.platforms)
    batch, folder = arguments.batch, arguments.savedmodel
    if batch is not None and not 1 <= batch <= MAX_BATCH:
        raise UserError(f"--batch is 1 to {MAX_BATCH:,}, not {batch}")

    from cifar_jax import export_check, runtime, trained

    with contextlib.ExitStack() as stack:
        if folder:
            if pathlib.Path(os.path.expanduser(folder)).resolve() == path.resolve():
                raise UserError(f"--out and --savedmodel are both {folder}; choose two names")
            saved_model.tensorflow()  # said before anything is computed
            partial_folder = stack.enter_context(saved_model.new_folder(folder))
        run = trained.open_model(arguments.workdir, arguments.checkpoint, arguments.data_dir)
        exported, versions = export(run, platforms, batch), runtime.versions()
        if folder:
            saved_model.write(partial_folder, exported)
            versions["tensorflow"] = saved_model.tensorflow().__version__
        content = bytes(exported.serialize())
        about = describe(run, exported, content, path.name, versions)
        partial = stack.enter_context(writing(path, content, about))
        yours = "np.load('images.npy')"
        readers = [export_check.of_file(path, how_to_load(partial.absolute(), yours), platforms)]
        if folder:
            lines = saved_model.how_to_load(partial_folder.absolute(), yours)
            readers.append(
                export_check.of_saved_model(folder, lines, platforms, versions["tensorflow"])
            )
        images = export_check.questions(image_shape(run), batch or export_check.IMAGES)
        unable = export_check.check(run, images, readers)
    yield from map(str, [path, beside(path), *filter(None, [folder]), *unable])
    shape = ", ".join(map(str, (batch or 4, *image_shape(run))))
    yours = f"np.zeros(({shape}), np.uint8)  # yours: RGB, 0 to 255"
    yield f"\nTo load it, without cifar_jax:\n\n{how_to_load(path, yours)}"


@command_line.guarded
def main(argv=None):
    """Runs a command line and returns its exit code."""
    for line in _run(_parse(argv)):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
