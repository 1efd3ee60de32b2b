"""Writes a trained model as one file that needs JAX and NumPy alone, or onnxruntime alone:

  python -m cifar_jax.export --workdir runs/resnet18 --out resnet18.jaxexport
  python -m cifar_jax.export --workdir runs/resnet18 --out resnet18.jaxexport --savedmodel resnet18_tf
  python -m cifar_jax.export --workdir runs/resnet18 --onnx resnet18.onnx

In: RGB pixels of 0 to 255, uint8 [B, S, S, 3], S = dataset.image_size, any B from 1 on, or --batch. Out: probabilities,
float32 [B, classes]. Normalisation, the run's test-time augmentation and softmax are inside; so are the weights.

--out writes a file of `jax.export`, which holds StableHLO for each of --platforms, with the operations that are fastest
on each: on the CPU those that the training takes there, elsewhere XLA's own. JAX promises to read it for six months at
least. --savedmodel also writes a TensorFlow SavedModel of the same program, whose `serving_default` takes `images` and
gives `probabilities`. That needs TensorFlow.

--onnx writes an ONNX model of opset 18, in float32, whose input is `images` and whose output `probabilities`. That
needs the extra `onnx`.

Beside each file, with .json behind its name, stands what else one wants to know: class names in the order of the
probabilities, shapes, checkpoint, fingerprint of the data, versions. The data set itself is not needed.

All are called once before they get their names, in processes without our code, and have to say what the run says.
"""

import contextlib
import sys

from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError
from cifar_jax.trained import export, onnx_model, saved_model


def _parse(argv):
    parser = flags.make_parser("export", __doc__)
    flags.add_run_arguments(parser, "--workdir", "--checkpoint")
    parser.add_argument("--out", metavar="FILE", help="such as model.jaxexport")
    parser.add_argument(
        "--platforms",
        metavar="NAMES",
        default=",".join(export.DEFAULT_PLATFORMS),
        help=f"of --out, some of {', '.join(export.PLATFORMS)}, with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="images of every call (default: any number)"
    )
    parser.add_argument("--savedmodel", metavar="FOLDER", help="a new one, for TensorFlow as well")
    parser.add_argument("--onnx", metavar="FILE", help="such as model.onnx")
    return parser.parse_args(argv)


def _run(arguments):
    """Do what a command line asks for, and yield the lines to print."""
    batch, folder = arguments.batch, arguments.savedmodel
    out = export.check_target("--out", arguments.out, "model.jaxexport")
    onnx = export.check_target("--onnx", arguments.onnx, "model.onnx")
    files = list(filter(None, [out, onnx]))
    export.check_apart(files, folder)
    if folder and not out:
        raise UserError("--savedmodel holds the program of --out; give --out FILE, too")
    if not files:
        raise UserError("nothing is to be written; give --out FILE, --onnx FILE, or both")
    platforms = export.checked_platforms(arguments.platforms)
    if batch is not None and not 1 <= batch <= export.MAX_BATCH:
        raise UserError(f"--batch is 1 to {export.MAX_BATCH:,}, not {batch}")

    from cifar_jax import trained
    from cifar_jax.trained import export_check, export_files

    with contextlib.ExitStack() as stack:
        partial_folder = None
        if folder:
            saved_model.tensorflow()  # said before anything is computed
            partial_folder = stack.enter_context(saved_model.new_folder(folder))
        if onnx:
            onnx_model.packages()
        run, readers = trained.open_model(arguments.workdir, arguments.checkpoint), []
        if out:
            options = platforms, batch, folder, partial_folder
            readers += export_files.write_program(stack, run, out, *options)
        if onnx:
            readers += export_files.write_onnx(stack, run, onnx, batch)
        images = export_check.questions(run.image_shape, batch or export_check.IMAGES)
        unable = export_check.check(run, images, readers)
    for path in files:
        yield from map(str, (path, export.beside(path)))
    yield from filter(None, [folder, *unable])
    shape = ", ".join(map(str, (batch or 4, *run.image_shape)))
    yours = f"np.zeros(({shape}), np.uint8)  # yours: RGB, 0 to 255"
    if onnx:
        lines = onnx_model.how_to_load(onnx, yours)
        yield f"\nTo load it with onnxruntime {onnx_model.READER} or newer:\n\n{lines}"
    if out:
        yield f"\nTo load it, without cifar_jax:\n\n{export.how_to_load(out, yours)}"


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    for line in _run(_parse(argv)):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
