"""Prepare CIFAR-10 or CIFAR-100 from an official archive, without network.

python -m cifar_jax.data.prepare --archive cifar-10-binary.tar.gz
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from cifar_jax import command_line
from cifar_jax.data import archive as archives
from cifar_jax.data import cache, folders, load, provenance
from cifar_jax.data.layouts import TFDS_SHA256
from cifar_jax.errors import DataError

DESCRIPTION = """\
Prepare CIFAR-10 or CIFAR-100 from an official archive, without network.

The archive is one of cifar-10-binary.tar.gz, cifar-10-python.tar.gz, cifar-100-binary.tar.gz and
cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, or the folder that one of
them extracts to. Which one it is, is seen from its content. The result is the TFDS set that
tfds.load("cifar10") would have downloaded, and beside it the decoded images that training maps
into memory. If anything is wrong with the archive, nothing is left behind.
"""
EPILOG = """\
example:
  python -m cifar_jax.data.prepare --archive ~/Downloads/cifar-10-binary.tar.gz
  python -m cifar_jax.main --config configs/basic_net.py --workdir runs/basic_net

exit status: 0 when the set is ready, 2 when something must be mended first.
"""


def prepare(archive, root: Path, name: str, log) -> str:
    """Make the TFDS set of an archive, complete or not at all.

    Args:
      archive: path of an archive or of the folder it extracts to.
      root: the TFDS data folder.
      name: "cifar10" or "cifar100", or "" to see it from the archive.
      log: called with one line for each step.

    Returns:
      The data set's name.

    Raises:
      DataError: if the archive is bad or of another set, or the set is there from another archive.
    """
    if name not in ("", *TFDS_SHA256):
        raise DataError(
            f"'{name}' is not made from a CIFAR archive; only {' and '.join(TFDS_SHA256)} are. "
            "Leave dataset.archive empty."
        )
    log(f"Reading {archive}.")
    records = archives.read(archive, name, log)
    found = folders.find(root, records.name)
    if found and found.prepared:
        provenance.check(found, archive, records.name)
        log(f"{found.prepared} is already made from this archive.")
        return records.name
    root = folders.writable_root(root, log)
    try:
        _write(records, archive, root, log)
    except OSError as error:
        raise DataError(
            f"Could not write the set into {root}: {error}. Free some space there, or choose "
            "another folder with --data_dir (in a config: dataset.data_dir)."
        ) from error
    return records.name


def _write(records, archive, root: Path, log) -> None:
    """Prepare in a temporary folder and move the complete set into place in one rename."""
    from cifar_jax.data import writer

    root.mkdir(parents=True, exist_ok=True)
    with cache.temporary_folder(root) as scratch:
        sizes = " and ".join(f"{len(pair[1]):,} {split}" for split, pair in records.splits.items())
        log(f"Writing the TFDS set '{records.name}' with {sizes} images into {root}.")
        made = writer.write(records, scratch)
        provenance.record(made, archive)
        final = root / made.relative_to(scratch)
        if (final / folders.PREPARED_MARK).is_file():
            return  # Another process that prepares the same set came first.
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            # Not a prepared set, or it would have been found: what an interrupted program left.
            shutil.move(final, scratch / "old")
        os.rename(made, final)


@command_line.guarded
def main(argv=None):
    """Runs a command line and returns its exit code."""
    parser = command_line.make_parser("data.prepare", DESCRIPTION, epilog=EPILOG)
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
    flags = parser.parse_args(argv)

    def say(line):
        print(command_line.printable(line))

    name = prepare(flags.archive, folders.data_root(flags.data_dir), flags.name, say)
    dataset = load(name, flags.data_dir, flags.archive, say)
    found = folders.find(folders.data_root(flags.data_dir), name)
    print(
        f"Ready: '{name}' with {dataset.sizes['train']:,} training and "
        f"{dataset.sizes['test']:,} test images of {len(dataset.class_names)} classes in "
        f"{found.prepared}."
    )
    print(f"Next: {_next_command(name, flags.data_dir)}")


def _next_command(name: str, data_dir: str) -> str:
    command = (
        "python -m cifar_jax.main --config configs/basic_net.py --workdir runs/basic_net"
        f" --config.dataset.name={name}"
    )
    return f"{command} --config.dataset.data_dir={shlex.quote(data_dir)}" if data_dir else command


if __name__ == "__main__":
    sys.exit(main())
