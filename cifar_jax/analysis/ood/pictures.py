"""Pictures of one's own sorted by how unusual they are to a model: a table, images.csv and a sheet of pictures.

images.csv has a line for each picture, the most unusual first, with the columns of `columns`.

A picture is usual where its score reaches what likeness.ACCEPTED of images reach that the model was not trained on.
The verdict is the energy's: it asks no training images, and so is the same that `predict` and `serve` give.
"""

import dataclasses
import functools

import numpy as np
from rich.console import Console

from cifar_jax import trained
from cifar_jax.analysis import result, scores, style
from cifar_jax.analysis.ood import COUNT
from cifar_jax.analysis.ood import figures as ood_figures
from cifar_jax.console import progress, tables
from cifar_jax.console.endings import printable
from cifar_jax.data import image_files, images, pools
from cifar_jax.errors import UserError
from cifar_jax.machine import files
from cifar_jax.trained import likeness

DECIDES = "energy"
BATCH = 64
USUAL, UNUSUAL = "usual", "unusual"
WIDTH = 100  # cells of the table, as of the other tables of the command
ROWS = 20  # of the table on the screen
SHEET, COLUMNS = 24, 6  # pictures of the sheet, and of one of its rows
SIDE = 256  # pixels of a picture's longer side in the sheet, at most
# The heads of the table's columns, since their titles are too wide.
HEADS = {
    "max_softmax": "softmax",
    "energy": "energy",
    "max_logit": "logit",
    "mahalanobis": "Mahal.",
    "nearest_neighbours": "neighb.",
}


@dataclasses.dataclass(frozen=True)
class Sorted:
    """Pictures, the most unusual first."""

    files: list[str]
    images: np.ndarray  # uint8 [N, S, S, 3], as the model sees them
    scores: dict  # name -> float [N], greater = more usual
    thresholds: dict  # name -> float, from which on a picture is usual
    chosen_on: str  # the images that decide that, in words
    classes: list[str]  # predicted
    confidences: np.ndarray  # float [N]

    def is_usual(self, score=DECIDES):
        """bool [N]"""
        return self.scores[score] >= self.thresholds[score]


def read(paths, size, note):
    """Read all pictures that names stand for, as `predict` takes them.

    Args:
        paths: of files and folders; see image_files.find.
        size: S, of the model's images.
        note: is told, in a line, what was left out of each folder.
    Returns:
        (list of N paths, uint8 [N, S, S, 3], list of image_files.Unreadable).
    Raises:
        UserError: not one can be read.
    """
    every = image_files.find_all(paths, note)
    taken, pictures, refused = [], [], []
    with progress.counting("reading pictures", len(every)) as advance:
        answers = pools.in_order(functools.partial(image_files.try_read, size=size), every)
        for file, picture in zip(every, answers, strict=True):
            advance()
            if isinstance(picture, image_files.Unreadable):
                refused.append(picture)
            else:
                taken.append(file)
                pictures.append(picture)
    if not taken:
        rest = len(refused) - 1
        more = f", nor {rest:,} other{'s' * (rest > 1)}" if rest else ""
        raise UserError(f"no picture can be read: {refused[0]}{more}")
    return taken, np.stack(pictures), refused


def sort(run, paths, pictures, scorer=None):
    """Sort pictures by how unusual they are.

    Args:
        run: trained.Trained.
        paths: N names of files.
        pictures: uint8 [N, S, S, 3].
        scorer: scoring.Scorer of the run; None for the energy alone, with the limit of a model in the box.
    Returns:
        Sorted.
    Raises:
        UserError: the model's outputs are not finite.
    """
    logits = trained.logits(run, pictures, BATCH)
    trained.check_finite(run, logits)
    if scorer is None:
        by_score, thresholds = {DECIDES: likeness.energy(logits)}, {DECIDES: run.limit.threshold}
        chosen_on = run.limit.held_out
    else:
        chosen_on, held_out = _held_out(run, scorer.seed)
        by_score = scorer(pictures, "pictures")
        thresholds = {
            name: float(np.quantile(values, 1 - likeness.ACCEPTED))
            for name, values in scorer(held_out, chosen_on).items()
        }
    order = np.argsort(by_score[DECIDES], kind="stable")
    names = run.dataset.class_names
    return Sorted(
        [paths[place] for place in order],
        pictures[order],
        {name: values[order] for name, values in by_score.items()},
        thresholds,
        f"{chosen_on} of {run.dataset.name}",
        [str(names[number]) for number in logits[order].argmax(1)],
        scores.probabilities(logits).max(1)[order],
    )


def _held_out(run, seed):
    """Return (what they are, uint8 [N, S, S, 3]) of images to choose thresholds on: at most COUNT, drawn."""
    try:
        which, (chosen, _, _) = "validation", trained.split(run, "validation")
    except UserError:
        which, (chosen, _, _) = "test", trained.split(run, "test")
    order = np.random.default_rng(seed).permutation(len(chosen))[:COUNT]
    return f"{len(order):,} {which} images", chosen[order]


def columns(names):
    """Return the columns of images.csv for scores of such names."""
    of_scores = [column for name in names for column in (name, f"{name}_verdict")]
    return ["file", "verdict", "class", "confidence", *of_scores]


def rows(found):
    """Return the lines of images.csv: a list of dicts with the keys of `columns`."""
    verdicts = {name: _verdicts(found, name) for name in found.scores}
    return [
        {
            "file": printable(file),
            "verdict": verdicts[DECIDES][i],
            "class": printable(found.classes[i]),
            "confidence": float(found.confidences[i]),
        }
        | {name: float(values[i]) for name, values in found.scores.items()}
        | {f"{name}_verdict": of[i] for name, of in verdicts.items()}
        for i, file in enumerate(found.files)
    ]


def _verdicts(found, score):
    return np.where(found.is_usual(score), USUAL, UNUSUAL).tolist()


def table(found, width):
    """Tabulate the first ROWS pictures, each in a line of so many cells.

    Args:
        found: Sorted.
        width: of the table.
    """
    heads = [HEADS.get(name, "mean") for name in found.scores]
    verdicts = _verdicts(found, DECIDES)
    lines = [
        (
            printable(file),
            verdicts[i],
            tables.shortened(printable(found.classes[i]), 12),
            *(f"{values[i]:.4g}" for values in found.scores.values()),
        )
        for i, file in enumerate(found.files[:ROWS])
    ]
    shown = tables.Table("", ("file", "verdict", "class", *heads), lines, left=(0, 1, 2))
    return tables.fitted(shown, width)


def explanation(found):
    """Say in a line where the border between usual and unusual is, and how many lie below it."""
    return (
        f"Unusual: {np.sum(~found.is_usual()):,} of {len(found.files):,} pictures, of an energy below "
        f"{found.thresholds[DECIDES]:.4g}, which {100 * likeness.ACCEPTED:.0f} % of the images reach that it is chosen "
        f"on: {found.chosen_on}"
    )


def show(found):
    """Print the table of a Sorted, and where the border is."""
    console = Console(width=WIDTH, highlight=False, markup=False)
    console.print(explanation(found), "", sep="\n", soft_wrap=True)
    console.print(tables.to_rich(table(found, WIDTH)))
    if (rest := len(found.files) - ROWS) > 0:
        console.print(f"and {rest:,} more in images.csv")


def earlier(folder):
    """Do as result.earlier for what `write` is about to replace."""

    def words(path):
        lines = path.read_text(encoding="utf-8").splitlines()
        return f"{len(lines) - 1:,} picture{'s' * (len(lines) != 2)}"

    return result.earlier(folder, "images.csv", "the pictures", words)


def write(folder, found):
    """Write images.csv, and images.png and .svg, a sheet of the SHEET most unusual pictures.

    Args:
        folder: is there.
        found: Sorted.
    Raises:
        UserError: a folder that can't be written.
    """
    with files.refusals(folder):
        files.write_csv(folder / "images.csv", columns(found.scores), rows(found))
        style.save(draw(found), folder, "images")


def draw(found):
    """Draw the sheet of a Sorted."""
    low, count = f"{found.thresholds[DECIDES]:.4g}", len(found.files)
    verdicts, pairs = _verdicts(found, DECIDES), []
    for i, file in enumerate(found.files[:SHEET]):
        named = style.shortened(found.classes[i], 0.6, 7)
        words = (
            style.shortened(file.rpartition("/")[2], 1.05, 7),
            f"{named} {tables.confidence(found.confidences[i])}",
            f"energy {found.scores[DECIDES][i]:.4g}: {verdicts[i]}",
        )
        pairs.append((_photo(file, found.images[i]), "\n".join(words)))
    shown = f"the {SHEET} most unusual of {count:,}" if count > SHEET else "the most unusual first"
    title = f"Pictures, {shown}; an energy below {low} is unusual"
    return ood_figures.sheet(title, [("", pairs)], COLUMNS, len(words))


def _photo(file, small):
    """Return a picture as it is, made smaller; the model's own where the file is gone by now."""
    try:
        return images.bounded(image_files.whole(file), SIDE)
    except image_files.Unreadable:
        return small
