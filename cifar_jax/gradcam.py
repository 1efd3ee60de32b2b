"""Shows the places of an image that a trained model's decision rises with, by Grad-CAM:

  python -m cifar_jax.gradcam --images cat.png dog.jpg                   photos, by the model in the box
  python -m cifar_jax.gradcam --workdir runs/resnet18 --images cat.png   by that of a run
  python -m cifar_jax.gradcam --workdir runs/resnet18                    the first images of the test split
  python -m cifar_jax.gradcam --workdir runs/resnet18 --images wrong     the first that it gets wrong
  python -m cifar_jax.gradcam --workdir runs/resnet18 --class cat        places that speak for a cat
  python -m cifar_jax.gradcam --workdir runs/resnet18 --list-layers

Writes gradcam.png and gradcam.svg: for each image the map of the layer, and the map over the image, as
shares of its greatest value; for a photo the photo as it is, the small square that the model sees (all of the
photo, its sides not in proportion), the map over the photo, and the three best classes. And gradcam.npz: `index` in
the split (-1 of a file), `class` that is explained, `maps` in units of its logit, `images` as the model sees them,
`label` (-1 of a file), `predicted`, `confidence`, `source`, `layer`. Files of an earlier call in the folder are
replaced, and a line says so: a report shows what lies in a run's folder, and that is to be the last.
The prediction is the run's own evaluation, mirrored if the run mirrors; the map is the image's as it is.
"""

import sys

from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError

MOST = 60  # images in a figure


def _parse(argv):
    parser = flags.make_parser("gradcam", __doc__)
    flags.add_model_arguments(parser, "--split", "--checkpoint", "--data_dir")
    parser.add_argument(
        "--class",
        dest="explained",
        metavar="NAME",
        help="whose logit is explained (default: the predicted class)",
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="whose maps (default: the last that gives any)"
    )
    parser.add_argument(
        "--list-layers", "--list_layers", action="store_true", help="prints the layers; no figure"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="IMAGE",
        help="correct or wrong, the first of the split that are, or files (default: the first of the split)",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=12,
        metavar="N",
        help=f"images of the split, 1 to {MOST} (default: 12)",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="for the results (default: WORKDIR/gradcam)"
    )
    return parser.parse_args(argv)


def _run(arguments):
    """Do what a command line asks for, and yield the lines to print."""
    words = arguments.images in (["correct"], ["wrong"])
    files = arguments.images if arguments.images and not words else []
    if not 1 <= arguments.count <= MOST:
        raise UserError(f"--count is 1 to {MOST}, not {arguments.count}")
    if len(files) > MOST:
        raise UserError(f"{len(files)} files are too many for a figure; give at most {MOST}")

    from cifar_jax import trained
    from cifar_jax.analysis import explain, gradcam
    from cifar_jax.models import box

    # Pictures of one's own and a model's layers need no data set.
    if files or arguments.list_layers:
        run = trained.open_model(trained.named_or_best(arguments.workdir), arguments.checkpoint)
        if run.card:
            print(f"note: {box.introduction(run.card)}", file=sys.stderr, flush=True)
    elif arguments.workdir is None:
        raise UserError(
            "give --workdir FOLDER for images of a run's split, or photos with --images FILE"
        )
    else:
        run = trained.open_run(arguments.workdir, arguments.checkpoint, arguments.data_dir)
    if arguments.list_layers:
        yield from explain.table_of_layers(run)
        return
    shape = (1, *run.image_shape)
    layer, _ = gradcam.choose_layer(run.inference.model, run.variables, shape, arguments.layer)
    named = arguments.explained
    explained = None if named is None else explain.class_number(run, named)
    if files:
        chosen = explain.choose_files(run, files)
    else:
        which = arguments.images[0] if words else None
        chosen = explain.choose_from_split(run, arguments.split, which, arguments.count)
    yield f"{run.workdir}, {run.checkpoint} (step {run.step:,}), images: {len(chosen.images)}, layer: {layer}"
    folder = arguments.out or run.workdir / "gradcam"
    replaced = explain.earlier(folder)
    for path in explain.explain(run, chosen, layer, explained, folder):
        yield str(path)
    yield from replaced


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    for line in _run(_parse(argv)):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
