"""Tells images of a run's data set from others, by several scores, and says how well:

  python -m cifar_jax.ood --workdir runs/big_net --ood digits,noise,shuffled_patches
  python -m cifar_jax.ood --workdir runs/big_net --ood svhn_cropped,cifar100 --layer relu_10 --threshold 0.32

Scores: the mean activation of a layer (report 004), and the field's baselines: maximum softmax, energy, maximum
logit, Mahalanobis, nearest neighbours. An image whose score is below the threshold is taken for out of
distribution. Thresholds are chosen on the run's validation split and half of each OOD set, and judged on the
test split and the other half, as many images of either kind.

Sets: digits, uniform_noise, gaussian_noise, noise (both), constant_colour and shuffled_patches are embedded; any
other name is a TFDS set of images: svhn_cropped, cifar100, ... Every image is seen once, without the run's
test-time augmentation.
"""

import math
import sys

from cifar_jax.analysis.ood import COUNT
from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError


def parse(argv):
    parser = flags.make_parser("ood", __doc__)
    flags.add_run_arguments(parser, "--workdir", "--checkpoint", "--data_dir")
    parser.add_argument("--ood", metavar="SETS", required=True, help="names, with commas between")
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


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    arguments = parse(argv)
    for name, least in (("count", 1), ("train_count", 0), ("seed", 0)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} must be at least {least}")
    if arguments.threshold is not None and not math.isfinite(arguments.threshold):
        raise UserError("--threshold must be a finite number")
    from cifar_jax import trained
    from cifar_jax.analysis import result
    from cifar_jax.analysis.ood import detect
    from cifar_jax.analysis.ood import results as ood_results
    from cifar_jax.data import outliers
    from cifar_jax.machine import runtime

    runtime.enable_compilation_cache("auto")
    run = trained.open_run(arguments.workdir, arguments.checkpoint, arguments.data_dir)
    names = [name.strip() for name in arguments.ood.split(",")]
    names = outliers.expand(filter(None, names), run.dataset.name)
    layers = detect.checked_layers(arguments.layer, arguments.threshold, run.config.model.name)
    folder = result.open_folder(arguments.out or run.workdir / "ood")
    results, judged = detect.detect(
        run, names, layers, arguments.threshold, arguments.count, arguments.train_count, arguments.seed
    )  # fmt: skip
    ood_results.write(folder, results, judged)
    # After the files: a closed pipe such as head's costs none of them.
    ood_results.show(results)
    print(f"\n{folder}: ood.json, ood.csv and figures")


if __name__ == "__main__":
    sys.exit(main())
