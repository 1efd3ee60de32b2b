"""One HTML page about runs, for a browser without network, to send or to keep:

  python -m cifar_jax.report runs/modified_net
  python -m cifar_jax.report runs/origin_net runs/modified_net --out comparison.html

Accuracy and its interval, what was reported, curves, confusion matrix, classes, calibration, images that are right
and wrong, config and environment; Grad-CAM and out-of-distribution detection where cifar_jax.gradcam and
cifar_jax.ood left results in the run's folder. Of several runs also their differences. It is made of
WORKDIR/evaluation/SPLIT_CHECKPOINT; what is not evaluated yet is evaluated first, as by cifar_jax.evaluate.
The page holds some of the data set's images; whoever gets it sees them.
"""

import pathlib
import sys

from cifar_jax.console import endings, flags
from cifar_jax.errors import UserError
from cifar_jax.machine import files

MOST_IMAGES = 2000


def parse(argv):
    parser = flags.make_parser("report", __doc__)
    parser.add_argument("workdirs", metavar="WORKDIR", nargs="+", help="of a run")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="the page; report.html in the run's folder, of several runs in this one",
    )
    flags.add_run_arguments(parser, "--split", "--checkpoint", "--data_dir")
    parser.add_argument(
        "--images", type=int, metavar="N", default=240, help="embedded at most; 240"
    )
    return parser.parse_args(argv)


def write_report(arguments):
    """Write the page of a command line and return its path.

    Raises:
        UserError: no such run, data that is not there, a file that can't be written.
    """
    from cifar_jax.analysis import comparison

    one = arguments.workdirs[0] if len(arguments.workdirs) == 1 else ""
    path = pathlib.Path(arguments.out or pathlib.Path(one, "report.html")).expanduser()
    if not 0 <= arguments.images <= MOST_IMAGES:
        raise UserError(f"--images is 0 to {MOST_IMAGES:,}, not {arguments.images}")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file with --out")
    runs = comparison.short_names(arguments.workdirs)

    from cifar_jax.analysis import result
    from cifar_jax.analysis.report import collect, page

    result.open_folder(path.parent)  # said before anything is computed
    collected = [
        collect.collect(
            name, workdir, arguments.split, arguments.checkpoint, arguments.data_dir, print
        )
        for name, workdir in runs.items()
    ]
    html = page.render(collected, arguments.images)
    with files.refusals(path, "; choose another --out"), files.replacing(path) as partial:
        partial.write_bytes(html)
    print(f"Report: {path.resolve()} ({len(html) / 1e6:.2f} MB, opens without network)")
    return path


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    write_report(parse(argv))


if __name__ == "__main__":
    sys.exit(main())
