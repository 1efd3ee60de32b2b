"""Says what a trained model takes pictures for:

  python -m cifar_jax.predict cat.png                                   the model in the box
  python -m cifar_jax.predict --workdir runs/resnet18 cat.png holiday/  that of a run
  python -m cifar_jax.predict --workdir runs/resnet18 --json holiday/ > holiday.json

Files may be PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, AVIF or (with pillow-heif, the extra `heif`) HEIC, of up
to 50 million pixels and 200 MB. A picture is turned as its EXIF says, of several frames the first is taken,
what is transparent becomes white, grey, palettes and CMYK become RGB, 16 bits a channel become 8; pixels
whose range nothing tells are refused. Then it is resized to the run's size bilinearly, its sides not kept in
proportion. Of a folder, and the folders in it, every file with a suffix of such a kind is taken, but names
that begin with a dot; links to folders are not followed. How many were left out is said on stderr.

Confidence is the softmax of the run's own evaluation, mirrored if the run mirrors. The data set that the
run was trained on is not needed. A table is printed; to a file or a pipe, lines of FILE, CLASS, CONFIDENCE,
CLASS, CONFIDENCE, ... with tabs between; with --json one list of {"file", "predictions": [{"class",
"confidence"}]} or {"file", "error"}. The model in the box (--workdir pretrained:NAME for another one) marks pictures
whose energy is that of few of its data set's own as "unlike" it; "unlike" is a field with --json, and ends the line
in a pipe. What can't be read is one line on stderr, the other files are
predicted all the same, and the exit code is then 1. It is 2 for a wrong command line or workdir.
"""

import json
import sys

from cifar_jax.console import endings, flags, tables
from cifar_jax.errors import UserError


def table(answers, top):
    """Tabulate the answers that are predictions."""
    columns, rows = ["file"], []
    marked = any(answer.unlike for answer in answers)
    for rank in range(top):
        columns += ["class" if rank == 0 else f"{rank + 1}.", ""]
    for answer in answers:
        cells = [answer.file]
        for name, sure in answer.predictions:
            cells += [name, f"{100 * sure:.1f} %"]
        if marked:
            cells.append("unlike" if answer.unlike else "")
        rows.append(tuple(map(endings.printable, cells)))
    left = (0, *range(1, len(columns), 2))
    if marked:
        left = (*left, len(columns))
        columns.append("")
    return tables.Table("", tuple(columns), rows, left=left)


def line(answer, unlike):
    """Return the line of an answer for a pipe."""
    cells = [answer.file]
    for name, sure in answer.predictions:
        cells += [name, f"{sure:.4f}"]
    if answer.unlike:
        cells.append(unlike)
    return "\t".join(map(endings.printable, cells))


def _parse(argv):
    parser = flags.make_parser("predict", __doc__)
    flags.add_model_arguments(parser, "--checkpoint")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a picture, or a folder of them")
    parser.add_argument(
        "--top", type=int, default=3, metavar="N", help="classes for each picture (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="for machines: one list of objects")
    return parser.parse_args(argv)


def _run(arguments):
    """Do what a command line asks for, and return the exit code."""
    if arguments.top < 1:
        raise UserError(f"--top is 1 or more, not {arguments.top}")

    from rich.console import Console

    from cifar_jax import trained
    from cifar_jax.machine import runtime
    from cifar_jax.models import box
    from cifar_jax.trained import prediction

    run = trained.open_model(trained.named_or_best(arguments.workdir), arguments.checkpoint)
    runtime.enable_compilation_cache(run.config.compilation_cache)
    console, top = Console(), min(arguments.top, run.inference.num_classes)
    in_the_end, failed = [], False

    def note(line):
        print(f"note: {endings.printable(line)}", file=sys.stderr, flush=True)

    if run.card:
        note(box.introduction(run.card))
    unlike = f"unlike {run.dataset.name}"
    for answer in prediction.predict(run, arguments.paths, top, note):
        if answer.error is not None:
            failed = True
            message = endings.printable(f"{answer.file[:200]}: {answer.error}")
            print(f"error: {message}", file=sys.stderr, flush=True)
        if arguments.json or (console.is_terminal and answer.error is None):
            in_the_end.append(answer)
        elif answer.error is None:
            print(line(answer, unlike))
    if arguments.json:
        print(json.dumps([answer.as_json() for answer in in_the_end], indent=1, allow_nan=False))
    elif in_the_end:
        console.print(tables.to_rich(tables.fitted(table(in_the_end, top), console.width)))
    return int(failed)


@endings.guarded
def main(argv=None):
    """Run a command line and return its exit code."""
    return _run(_parse(argv))


if __name__ == "__main__":
    sys.exit(main())
