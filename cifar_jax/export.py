"""Writes a trained model as one file that needs JAX and NumPy alone:

  python -m cifar_jax.export --workdir runs/resnet18 --out resnet18.jaxexport
  python -m cifar_jax.export --workdir runs/resnet18 --out resnet18.jaxexport --savedmodel resnet18_tf

In: RGB pixels of 0 to 255, uint8 [B, S, S, 3], S = dataset.image_size, any B from 1 on, or --batch. Out: probabilities,
float32 [B, classes]. Normalisation, the run's test-time augmentation and softmax are inside; so are the weights. The
file is of `jax.export` and holds StableHLO for each of --platforms, with the operations that are fastest on each: on
the CPU those that the training takes there, elsewhere XLA's own. JAX promises to read it for six months at least.

Beside it, with .json behind its name, stands what else one wants to know: class names in the order of the
probabilities, shapes, checkpoint, fingerprint of the data, versions. The data set itself is not needed.

--savedmodel also writes a TensorFlow SavedModel of the same program, whose `serving_default` takes `images` and
gives `probabilities`. That needs TensorFlow.

Both are called once before they get their names, in processes without our code, and have to say what the run says.
"""

import contextlib
import os
import pathlib
import sys

from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError
from cifar_jax.trained import export, saved_model


def _parse(argv):
    parser = flags.make_parser("export", __doc__)
    flags.add_run_arguments(parser, "--workdir", "--checkpoint")
    parser.add_argument("--out", metavar="FILE", required=True, help="such as model.jaxexport")
    parser.add_argument(
        "--platforms",
        metavar="NAMES",
        default=",".join(export.DEFAULT_PLATFORMS),
        help=f"of {', '.join(export.PLATFORMS)}, with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="images of every call (default: any number)"
    )
    parser.add_argument("--savedmodel", metavar="FOLDER", help="a new one, for TensorFlow as well")
    return parser.parse_args(argv)


def _run(arguments):
    """Do what a command line asks for, and yield the lines to print."""
    path = export.check_target(arguments.out)
    platforms = export.checked_platforms(arguments.platforms)
    batch, folder = arguments.batch, arguments.savedmodel
    if batch is not None and not 1 <= batch <= export.MAX_BATCH:
        raise UserError(f"--batch is 1 to {export.MAX_BATCH:,}, not {batch}")

    from cifar_jax import trained
    from cifar_jax.machine import runtime
    from cifar_jax.trained import export_check

    with contextlib.ExitStack() as stack:
        if folder:
            if pathlib.Path(os.path.expanduser(folder)).resolve() == path.resolve():
                raise UserError(f"--out and --savedmodel are both {folder}; choose two names")
            saved_model.tensorflow()  # said before anything is computed
            partial_folder = stack.enter_context(saved_model.new_folder(folder))
        run = trained.open_model(arguments.workdir, arguments.checkpoint)
        exported, versions = export.export(run, platforms, batch), runtime.versions()
        if folder:
            saved_model.write(partial_folder, exported)
            versions["tensorflow"] = saved_model.tensorflow().__version__
        content = bytes(exported.serialize())
        about = export.describe(run, exported, content, path.name, versions)
        partial = stack.enter_context(export.writing(path, content, about))
        yours = "np.load('images.npy')"
        readers = [
            export_check.of_file(path, export.how_to_load(partial.absolute(), yours), platforms)
        ]
        if folder:
            lines = saved_model.how_to_load(partial_folder.absolute(), yours)
            readers.append(
                export_check.of_saved_model(folder, lines, platforms, versions["tensorflow"])
            )
        images = export_check.questions(run.image_shape, batch or export_check.IMAGES)
        unable = export_check.check(run, images, readers)
    yield from map(str, [path, export.beside(path), *filter(None, [folder]), *unable])
    shape = ", ".join(map(str, (batch or 4, *run.image_shape)))
    yours = f"np.zeros(({shape}), np.uint8)  # yours: RGB, 0 to 255"
    yield f"\nTo load it, without cifar_jax:\n\n{export.how_to_load(path, yours)}"


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    for line in _run(_parse(argv)):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
