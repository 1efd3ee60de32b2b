"""The one style of all figures: readable in black and white and by the colour-blind, no display needed."""

import bisect
import contextlib
import functools
import io
import pathlib
import sys
import unicodedata
import warnings

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from cifar_jax.errors import UserError

# Okabe and Ito, Color Universal Design, 2008, without the yellow, which paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DPI = 160  # of a PNG
JOINERS = "\u200c\u200d"  # not printable by themselves, but they decide how their neighbours look
LEFT_TO_RIGHT = "\u200e"  # the direction of what comes next to it, unseen


def new(width=7.2, height=4.2):
    """Return an empty figure of so many inches, whose parts make room for each other."""
    return Figure(figsize=(width, height), layout="constrained")


def words(text, inches=None, size=10):
    """Return a name as it is given to Matplotlib: drawn as written, for which `$` is escaped; else as `shortened`."""
    return shortened(text, inches, size).replace("$", r"\$")


def shortened(text, inches=None, size=10):
    """Shorten a name to one line of letters that can be drawn, with an ellipsis for its middle where it is too wide.

    The middle, since names that differ often do so at an end: "learning_rate=0.001".

    Args:
        text: str.
        inches: that there is room for; None for any width.
        size: of the font, in points.
    """
    text = "".join(each if each.isprintable() or each in JOINERS else "\ufffd" for each in text)
    if any(unicodedata.bidirectional(each) in ("R", "AL") for each in text):
        # Else all of the line that the name is put into would run from right to left, and turn > into <.
        return f"{LEFT_TO_RIGHT}{_shortened(text, inches, size)}{LEFT_TO_RIGHT}"
    return _shortened(text, inches, size)


def _shortened(text, inches, size):
    if inches is None or width(text, size) <= inches:
        return text
    kept = bisect.bisect_right(
        range(1, len(text)), inches, key=lambda n: width(_without_middle(text, n), size)
    )
    return _without_middle(text, kept)


def _without_middle(text, kept):
    """Return so many letters of a text, two thirds of them its first; a letter is not parted from its marks."""
    head, tail = kept - kept // 3, len(text) - kept // 3
    while head > 0 and _is_mark(text[head]):
        head -= 1
    while tail < len(text) and _is_mark(text[tail]):
        tail += 1
    return f"{text[:head].rstrip()}…{text[tail:].lstrip()}"


def _is_mark(letter):
    return unicodedata.category(letter).startswith("M") or letter in JOINERS


def width(text, size):
    """Measure a line of text, in inches; its font has `size` points."""
    font = font_manager.FontProperties(family=families(text), size=size)
    with quiet():
        return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def families(text):
    """Return the font families for a text: Matplotlib's own, then such of this machine as have the letters it lacks."""
    chosen = matplotlib.rcParams["font.family"]
    own = font_manager.findfont(font_manager.FontProperties(family=chosen))
    missing = np.setdiff1d([ord(each) for each in text if each != "\n"], _letters(own))
    return [*chosen, *_with_letters(tuple(missing.tolist()))]


@functools.lru_cache(maxsize=1024)
def _with_letters(missing):
    """Return the families of few fonts that have such letters, as far as there are any."""
    chosen = []
    for name, path in _fonts() if missing else ():
        rest = np.setdiff1d(missing, _letters(path))
        if len(rest) < len(missing):
            chosen.append(name)
            missing = rest
        if not len(missing):
            break
    return chosen


@functools.cache
def _fonts():
    """Return (family, path) of the upright fonts of usual weight, the one with most letters first.

    One font for all of a script's letters looks better than several.
    """
    manager = font_manager.fontManager
    # Matplotlib keeps its list in a file, which may be older than a font.
    for path in sorted(
        {*font_manager.findSystemFonts()} - {each.fname for each in manager.ttflist}
    ):
        with contextlib.suppress(Exception):  # of damaged fonts, any
            manager.addfont(path)
    paths = {
        each.name: each.fname
        for each in manager.ttflist
        # "Last Resort" has a box for every letter.
        if each.style == "normal" and each.weight in (400, "normal", "regular", "book")
        if "resort" not in each.name.lower()
    }
    return sorted(paths.items(), key=lambda item: (-len(_letters(item[1])), item[0]))


@functools.cache
def _letters(path):
    """Return the numbers of the letters that a font has, in order; none of a font that can't be read."""
    try:
        return np.array(sorted(FT2Font(path).get_charmap()), np.int64)
    except (OSError, RuntimeError):
        return np.zeros(0, np.int64)


@contextlib.contextmanager
def quiet():
    """Leave out the warnings of letters that no font of this machine has."""
    with warnings.catch_warnings():
        for message in ("Glyph .* missing", "Matplotlib currently does not support"):
            warnings.filterwarnings("ignore", message)
        yield


def save(figure, folder, name):
    """Write folder/name.png and .svg; the folder is made.

    Names are drawn in fonts that have their letters, where this machine has such.

    Args:
        figure: of Matplotlib, or a chart of Altair.
        folder: path.
        name: of the files.
    Returns:
        the two paths; none, said on stderr, where charts can't be drawn.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{suffix}" for suffix in ("png", "svg")]
    try:
        files = rendered(figure, "png", "svg")
    except UserError as error:
        print(f"{paths[0]} and .svg are not drawn: {error}", file=sys.stderr)
        return []
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    return paths


def rendered(figure, *kinds):
    """Return a figure as the bytes of files of some kinds, "png" or "svg": a list.

    Args:
        figure: of Matplotlib, or a chart of Altair.
    Raises:
        UserError: of charts, as of vega.converter.
    """
    if not isinstance(figure, Figure):
        from cifar_jax.analysis.charts import vega

        return vega.rendered(figure, *kinds)
    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            text.set_fontfamily(families(text.get_text()))
    files = [io.BytesIO() for _ in kinds]
    with quiet():
        for file, kind in zip(files, kinds, strict=True):
            figure.savefig(file, dpi=DPI, format=kind)
    return [file.getvalue() for file in files]
