"""Tells images of a run's data set from others, by several scores, and says how well; and sorts one's own pictures:

  python -m cifar_jax.ood --workdir runs/big_net --ood digits,noise,shuffled_patches
  python -m cifar_jax.ood --workdir runs/big_net --ood svhn_cropped,cifar100 --layer relu_10 --threshold 0.32
  python -m cifar_jax.ood --workdir runs/big_net --images holiday/            the most unusual pictures first
  python -m cifar_jax.ood --workdir pretrained:speedrun --images holiday/     by the model in the box, without data

Scores: the mean activation of a layer (report 004), and the field's baselines: maximum softmax, energy, maximum
logit, Mahalanobis, nearest neighbours. An image whose score is below the threshold is taken for out of
distribution. Thresholds are chosen on the run's validation split and half of each OOD set, and judged on the
test split and the other half, as many images of either kind.

Sets: digits, uniform_noise, gaussian_noise, noise (both), constant_colour and shuffled_patches are embedded; any
other name is a TFDS set of images: svhn_cropped, cifar100, ... Every image is seen once, without the run's
test-time augmentation. Writes ood.json, ood.csv, histograms, samples and extremes, the most and the least unusual
images of each set. Files of an earlier call in the folder are replaced, and a line says so.

Pictures are files, or folders as cifar_jax.predict takes them. One is unusual whose energy is below that of 95 % of
the run's validation images (without any: test images). Writes images.csv, with every score, its verdict, and the
class and confidence that cifar_jax.predict gives; and images.png and .svg, the most unusual. A model in the box has
its limit with it: of its scores the energy is given then. The exit code is 1 where some pictures can't be read.
"""

import math
import sys

from cifar_jax.analysis.ood import COUNT
from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError


def parse(argv):
    parser = flags.make_parser("ood", __doc__)
    flags.add_run_arguments(parser, "--workdir", "--checkpoint", "--data_dir")
    parser.add_argument("--ood", metavar="SETS", help="names, with commas between")
    own = "pictures of one's own, or folders of them"
    parser.add_argument("--images", nargs="+", metavar="PATH", help=own)
    parser.add_argument(
        "--layer",
        metavar="NAMES",
        help="of the mean activation, with commas between; by default relu_9,relu_10 for big_net (with "
        "--threshold: relu_10), else penultimate, the input of the last linear layer",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="of the mean activation of one layer, not chosen",
    )
    parser.add_argument("--out", metavar="FOLDER", help="for the results; by default WORKDIR/ood")
    count = f"judged of each set; {COUNT}"
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help=count)
    trained_on = "of the training split for Mahalanobis and nearest neighbours; by default all"
    parser.add_argument("--train_count", type=int, default=0, metavar="N", help=trained_on)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn; 0")
    return parser.parse_args(argv)


def _check(arguments):
    if arguments.ood is None and not arguments.images:
        raise UserError("give --ood SETS, --images PATH, or both")
    for name, least in (("count", 1), ("train_count", 0), ("seed", 0)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} must be at least {least}")
    if arguments.threshold is not None and not math.isfinite(arguments.threshold):
        raise UserError("--threshold must be a finite number")


def _say(kind):
    return lambda line: print(
        f"{kind}: {endings.printable(str(line))}", file=sys.stderr, flush=True
    )


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    arguments = parse(argv)
    _check(arguments)
    from cifar_jax import trained
    from cifar_jax.analysis import result
    from cifar_jax.analysis.ood import detect, pictures
    from cifar_jax.analysis.ood import results as ood_results
    from cifar_jax.analysis.ood.scoring import Scorer
    from cifar_jax.data import outliers
    from cifar_jax.machine import runtime
    from cifar_jax.models import box

    runtime.enable_compilation_cache("auto")
    if arguments.ood is None and box.is_named(arguments.workdir):
        run, names, scorer = trained.open_model(arguments.workdir, arguments.checkpoint), [], None
    else:
        run = trained.open_run(arguments.workdir, arguments.checkpoint, arguments.data_dir)
        names = []
        if arguments.ood is not None:
            given = [name.strip() for name in arguments.ood.split(",")]
            names = outliers.expand(filter(None, given), run.dataset.name)
        layers = detect.checked_layers(arguments.layer, arguments.threshold, run.config.model.name)
        scorer = Scorer(run, layers, arguments.train_count, arguments.seed)
    refused, written, replaced = [], [], []
    if arguments.images:
        paths, images, refused = pictures.read(arguments.images, run.image_shape[0], _say("note"))
    for each in refused:
        _say("error")(each)
    folder = result.open_folder(arguments.out or run.workdir / "ood")
    if names:
        results, judged = detect.detect(scorer, names, arguments.threshold, arguments.count)
        replaced += ood_results.earlier(folder)
        ood_results.write(folder, results, judged)
        written.append("ood.json, ood.csv and figures")
    if arguments.images:
        found = pictures.sort(run, paths, images, None if run.card else scorer)
        replaced += pictures.earlier(folder)
        pictures.write(folder, found)
        written.append("images.csv, images.png and images.svg")
    # After the files: a closed pipe such as head's costs none of them.
    if names:
        ood_results.show(results)
    if arguments.images:
        pictures.show(found)
    print("", *replaced, f"{folder}: {'; '.join(written)}", sep="\n")
    return int(bool(refused))


if __name__ == "__main__":
    sys.exit(main())
