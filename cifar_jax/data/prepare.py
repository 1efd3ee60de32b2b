"""Prepares CIFAR-10 or CIFAR-100 from an official archive, without network:

  python -m cifar_jax.data.prepare --archive ~/Downloads/cifar-10-binary.tar.gz
  python -m cifar_jax.main --config basic_net --workdir runs/basic_net

The archive is one of cifar-10-binary.tar.gz, cifar-10-python.tar.gz, cifar-100-binary.tar.gz and
cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, or the folder that one of
them extracts to. Which one it is, is seen from its content. The result is the TFDS set that
tfds.load("cifar10") would have downloaded, and beside it the decoded images that training maps
into memory. If anything is wrong with the archive, nothing is left behind.

Exit status: 0 when the set is ready, 2 when something must be mended first.
"""

import shlex
import sys

from cifar_jax.console import endings, flags, program
from cifar_jax.data import folders, from_archive, load
from cifar_jax.data.layouts import TFDS_SHA256


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    parser = flags.make_parser("data.prepare", __doc__)
    parser.add_argument(
        "--archive", metavar="FILE", required=True, help="the archive, or its extracted folder"
    )
    parser.add_argument(
        "--data_dir",
        metavar="FOLDER",
        default="",
        help="the TFDS data folder (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets)",
    )
    parser.add_argument(
        "--name", default="", choices=sorted(TFDS_SHA256), help="refuse an archive of another set"
    )
    given = parser.parse_args(argv)

    def say(line):
        print(endings.printable(line))

    name = from_archive.prepare(given.archive, folders.data_root(given.data_dir), given.name, say)
    dataset = load(name, given.data_dir, given.archive, say)
    prepared = folders.find(folders.data_root(given.data_dir), name).prepared
    print(
        f"Ready: '{name}' with {dataset.sizes['train']:,} training and "
        f"{dataset.sizes['test']:,} test images of {len(dataset.class_names)} classes in "
        f"{prepared}."
    )
    print(f"Next: {program.as_called(_next_command(name, given.data_dir))}")


def _next_command(name: str, data_dir: str) -> str:
    command = (
        "python -m cifar_jax.main --config basic_net --workdir runs/basic_net"
        f" --config.dataset.name={name}"
    )
    return f"{command} --config.dataset.data_dir={shlex.quote(data_dir)}" if data_dir else command


if __name__ == "__main__":
    sys.exit(main())
