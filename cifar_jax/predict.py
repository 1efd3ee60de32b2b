"""Says what a trained model takes pictures for:

  python -m cifar_jax.predict --workdir runs/resnet18 cat.png holiday/
  python -m cifar_jax.predict --workdir runs/resnet18 --json holiday/ > holiday.json

Files may be PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, AVIF or (with pillow-heif, the extra `heif`) HEIC, of up
to 50 million pixels and 200 MB. A picture is turned as its EXIF says, of several frames the first is taken,
what is transparent becomes white, grey, palettes and CMYK become RGB, 16 bits a channel become 8; pixels
whose range nothing tells are refused. Then it is resized to 32 x 32 bilinearly, its sides not kept in
proportion. Of a folder, and the folders in it, every file with a suffix of such a kind is taken, but names
that begin with a dot; links to folders are not followed. How many were left out is said on stderr.

Confidence is the softmax of the run's own evaluation, mirrored if the run mirrors. The data set that the
run was trained on is not needed. A table is printed; to a file or a pipe, lines of FILE, CLASS, CONFIDENCE,
CLASS, CONFIDENCE, ... with tabs between; with --json one list of {"file", "predictions": [{"class",
"confidence"}]} or {"file", "error"}. What can't be read is one line on stderr, the other files are
predicted all the same, and the exit code is then 1. It is 2 for a wrong command line or workdir.
"""

import dataclasses
import json
import sys

import numpy as np

from cifar_jax import command_line
from cifar_jax.errors import UserError

# Images a step. The least size that holds all files is taken, so that a program is compiled for three
# sizes at most, and found in the cache the next time.
SIZES = (1, 8, 64)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is found out about a file."""

    file: str
    predictions: tuple[tuple[str, float], ...] = ()  # (class, confidence), the surest first
    error: str | None = None

    def as_json(self):
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        listed = [{"class": name, "confidence": sure} for name, sure in self.predictions]
        return {"file": self.file, "predictions": listed}


def predict(run, paths, top=3, note=lambda line: None):
    """Classifies pictures; only those of one step are held at a time.

    Args:
        run: trained.Trained.
        paths: of files and folders; see image_files.find and image_files.read.
        top: classes for each picture, at most.
        note: is told, in a line, what was left out of each folder.
    Yields:
        Answer, in the order of the paths.
    Raises:
        UserError: the model answers with NaN or infinity.
    """
    import jax

    from cifar_jax.data import image_files

    found = []
    for path in paths:
        files, refused, left_out = image_files.find(path)
        found += [*refused, *files]
        if left_out:
            note(f"{str(path)[:200]}: {said_of(left_out)}")
    size = next((each for each in SIZES if each >= len(found)), SIZES[-1])
    run = dataclasses.replace(run, variables=jax.device_put(run.variables))
    for start in range(0, len(found), size):
        pictures = [_picture(each) for each in found[start : start + size]]
        yield from _answers(run, pictures, size, top)


def said_of(left_out, most=4):
    """As "3 left out (2 .txt, 1 hidden)", of a Counter of kinds; the rarest are "other"."""
    kinds = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))[:most]
    if rest := left_out.total() - sum(count for _, count in kinds):
        kinds.append(("other", rest))
    return f"{left_out.total():,} left out ({', '.join(f'{n:,} {kind[:20]}' for kind, n in kinds)})"


def _picture(found):
    """(file, uint8 [32, 32, 3]) or, of what can't be read, (file, Unreadable)."""
    from cifar_jax.data import image_files

    if isinstance(found, image_files.Unreadable):
        return found.path, found
    try:
        return found, image_files.read(found)
    except image_files.Unreadable as error:
        return found, error


def _answers(run, pictures, size, top):
    """The Answers to what `_picture` gives, at most `size` of them."""
    from cifar_jax import trained
    from cifar_jax.analysis import scores

    images = [picture for _, picture in pictures if isinstance(picture, np.ndarray)]
    confidences = iter(())
    if images:
        padded = np.stack(images + images[:1] * (size - len(images)))
        logits = trained.logits(run, padded, size)[: len(images)]
        if not np.isfinite(logits).all():
            raise UserError(
                f"checkpoint {run.step} of {run.workdir} answers with NaN or infinity; choose an "
                "earlier --checkpoint"
            )
        confidences = iter(scores.probabilities(logits))
    for file, picture in pictures:
        if isinstance(picture, np.ndarray):
            yield Answer(file, surest(next(confidences), run.dataset.class_names, top))
        else:
            yield Answer(file, error=picture.why)


def surest(confidences, class_names, top):
    """The `top` classes of greatest confidence, of equals the first: a tuple of (name, confidence)."""
    order = np.argsort(-confidences, kind="stable")[:top]
    return tuple((str(class_names[k]), float(confidences[k])) for k in order)


def table(answers, top):
    """A rich.table.Table of the answers that are predictions."""
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False, header_style="dim")
    found.add_column("file", overflow="fold")
    for rank in range(top):
        found.add_column("class" if rank == 0 else f"{rank + 1}.", overflow="fold")
        found.add_column("", justify="right", no_wrap=True)
    for answer in answers:
        cells = [command_line.printable(answer.file)]
        for name, sure in answer.predictions:
            cells += [command_line.printable(name), f"{100 * sure:.1f} %"]
        found.add_row(*map(Text, cells))
    return found


def line(answer):
    """An answer for a pipe."""
    cells = [answer.file]
    for name, sure in answer.predictions:
        cells += [name, f"{sure:.4f}"]
    return "\t".join(map(command_line.printable, cells))


def _parse(argv):
    parser = command_line.make_parser("predict", __doc__)
    command_line.add_run_arguments(parser, "--workdir", "--checkpoint")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a picture, or a folder of them")
    parser.add_argument(
        "--top", type=int, default=3, metavar="N", help="classes for each picture (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="for machines: one list of objects")
    parser.add_argument(
        "--data_dir",
        metavar="FOLDER",
        help="of the data set; of use only for a run of an older version, which did not keep the classes' names",
    )
    return parser.parse_args(argv)


def _run(arguments):
    """Does what a command line asks for; returns the exit code."""
    if arguments.top < 1:
        raise UserError(f"--top is 1 or more, not {arguments.top}")

    from rich.console import Console

    from cifar_jax import runtime, trained

    run = trained.open_model(arguments.workdir, arguments.checkpoint, arguments.data_dir)
    runtime.enable_compilation_cache(run.config.compilation_cache)
    console, top = Console(), min(arguments.top, run.recipe.num_classes)
    in_the_end, failed = [], False

    def note(line):
        print(f"note: {command_line.printable(line)}", file=sys.stderr, flush=True)

    for answer in predict(run, arguments.paths, top, note):
        if answer.error is not None:
            failed = True
            message = command_line.printable(f"{answer.file[:200]}: {answer.error}")
            print(f"error: {message}", file=sys.stderr, flush=True)
        if arguments.json or (console.is_terminal and answer.error is None):
            in_the_end.append(answer)
        elif answer.error is None:
            print(line(answer))
    if arguments.json:
        print(json.dumps([answer.as_json() for answer in in_the_end], indent=1, allow_nan=False))
    elif in_the_end:
        console.print(table(in_the_end, top))
    return int(failed)


@command_line.guarded
def main(argv=None):
    """Runs a command line and returns its exit code."""
    return _run(_parse(argv))


if __name__ == "__main__":
    sys.exit(main())
