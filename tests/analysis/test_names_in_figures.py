"""Names are text in every figure: drawn as written, in one line that fits, and without a warning."""

import html
import re
import unicodedata
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib import cbook, font_manager
from matplotlib.text import Text
from PIL import Image

from cifar_jax.analysis import figures, overlays, photos, style
from cifar_jax.analysis.charts import evaluation as charts
from cifar_jax.analysis.ood import figures as ood_figures
from cifar_jax.sweep import figures as sweep_figures

MATHS, LONG = "$x^2$", "a name of sixty letters, which no figure has the room for, b"
NAMES = [
    MATHS,
    LONG,
    "猫",
    "قطة",
    "बिल्ली",
    "_hidden",
    "a\nb\x1b[2J",
    "50 $ or $60",
    "\udce9",
    "{x}%s\\",
]
PER_CLASS = {"images": 10, "predicted": 10, "accuracy": 0.5, "precision": 0.5}
OOD = {"threshold": 0.5, "threshold_on_judged": 0.4, "accuracy": 0.75}


COUNT = len(NAMES)
IMAGES, NUMBERS, MATRIX = (
    np.zeros((COUNT, 32, 32, 3), np.uint8),
    np.linspace(0, 1, 20),
    np.eye(COUNT),
)
CLASSES = [PER_CLASS | {"name": each, "accuracy_interval": (0.4, 0.6)} for each in NAMES]
RUNS = [{"name": each, "accuracy": 0.5, "confusion": [[2, 1], [0, 2]]} for each in NAMES]
ROWS = [
    {"cell": name, "seed": 0, "epoch": epoch, "train_loss": i + epoch}
    for i, name in enumerate(NAMES)
    for epoch in (1, 2)
]


ANSWERS = [((each, 0.5),) for each in NAMES]
PHOTO = photos.of_picture(Image.new("RGB", (40, 20)))


def example(name):
    return overlays.Example(IMAGES[0], np.eye(2), np.zeros((32, 32)), style.shortened(name, 1.5, 8))


# What draws names of the user's, and how often it shows each.
FIGURES = {
    "confusion": (lambda: charts.confusion(MATRIX.astype(int), NAMES, "title"), 2),
    "confusions": (lambda: charts.confusions({"runs": RUNS, "dataset": {"class_names": "ab"}}), 1),
    "classes": (lambda: charts.classes(CLASSES, 0.5, "title"), 1),
    "grid": (lambda: figures.image_grid(IMAGES, np.arange(COUNT), MATRIX, NAMES), 2),
    "histogram": (lambda: ood_figures.histogram("title", [(each, NUMBERS, NUMBERS, OOD) for each in NAMES]), 1),
    "curves": (lambda: sweep_figures.draw(ROWS, NAMES, "train_loss"), 1),
    "bars": (lambda: sweep_figures.bars({n: [50.0] for n in NAMES}, dict.fromkeys(NAMES)), 1),
    "photos": (lambda: photos.draw([PHOTO] * COUNT, IMAGES, [np.eye(2)] * COUNT, NAMES, ANSWERS, MATHS), 2),
    "gradcam": (lambda: overlays.draw([example(each) for each in NAMES], MATHS), 1),
}  # fmt: skip


AS_WRITTEN = [MATHS, "猫", "قطة", "बिल्ली", "_hidden", "50 $ or $60", "a\ufffdb\ufffd[2J", "{x}%s\\"]
SLOW = ("confusions", "histogram", "gradcam", "photos")  # many axes
OF_MATPLOTLIB = ("grid", "gradcam", "photos")


def marked(names):
    return [pytest.param(each, marks=[pytest.mark.thorough] * (each in SLOW)) for each in names]


def is_outlined(name):
    """Whether a viewer may lack its letters and this machine has them: a bare one may have no such font."""
    return name in ("猫", "बिल्ली") and style.families(name) != matplotlib.rcParams["font.family"]


def saved(name, folder):
    figure = FIGURES[name][0]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = style.save(figure, folder, name)
    return figure, *paths


@pytest.mark.parametrize("name", marked([each for each in FIGURES if each not in OF_MATPLOTLIB]))
def test_names_of_charts_are_drawn_as_written_within_the_picture(name, tmp_path):
    _, png, svg = saved(name, tmp_path)
    text = svg.read_text()
    texts = re.findall("<text[^>]*>([^<]*)<", text)
    outlined = re.findall('<g transform[^>]* aria-label="([^"]*)"><path', text)
    for expected in AS_WRITTEN:
        where = outlined if is_outlined(expected) else texts
        count = sum(html.unescape(each).count(expected) for each in where)
        assert count >= FIGURES[name][1], expected
    assert any("…" in each for each in texts)
    pixels = np.array(Image.open(png).convert("L"))
    edges = pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]
    assert all((each == 255).all() for each in edges)  # nothing is cut off


@pytest.mark.parametrize("name", marked(OF_MATPLOTLIB))
def test_names_are_drawn_as_written_within_the_figure(name, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "DPI", 40)
    figure, *_ = saved(name, tmp_path)
    drawn = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    maths = [each.get_text() for each in drawn
             if each.get_parse_math() and cbook.is_math_text(each.get_text())]  # fmt: skip
    assert all("mathdefault" in each for each in maths)  # numbers of an axis
    said = [
        each.get_text().replace(r"\$", "$") if each.get_parse_math() else each.get_text()
        for each in drawn
    ]
    for expected in AS_WRITTEN:
        assert sum(each.count(expected) for each in said) >= FIGURES[name][1], expected
    assert any("…" in each for each in said)
    width, height = figure.bbox.size
    for text in drawn:
        if not any(map(str.isalpha, text.get_text())):
            continue  # a number of an axis, which may lie beyond what is shown of it
        box = text.get_window_extent()
        where = text.get_text(), box
        assert box.x0 > -2 and box.x1 < width + 2 and box.y0 > -2 and box.y1 < height + 2, where


def test_a_name_that_runs_from_right_to_left_turns_nothing_else_round():
    assert style.words("قطة")[::4] == 2 * style.LEFT_TO_RIGHT and style.words("猫") == "猫"


def test_names_that_fit_stay_and_others_lose_their_middle():
    assert style.words("cat") == "cat" and style.shortened("cat", 1, 9) == "cat"
    short = style.shortened(LONG, 1.5, 9)
    head, tail = short.split("…")
    assert LONG.startswith(head) and LONG.endswith(tail) and len(head) > len(tail) > 0
    assert 1.3 < style.width(short, 9) <= 1.5
    assert style.shortened(LONG, 0.01, 9) == "…"
    assert style.shortened("learning_rate=0.001" * 3, 1.5).endswith("0.001")


def test_a_letter_is_not_parted_from_its_marks():
    name = "e\u0301" * 40
    short = style.shortened(name, 1, 9)
    head, tail = short.split("…")
    assert not unicodedata.combining(tail[0]) and len(head) % 2 == len(tail) % 2 == 0


def test_fonts_are_looked_for_only_where_letters_are_missing(monkeypatch):
    monkeypatch.setattr(style, "_fonts", lambda: pytest.fail("looked for"))
    style._with_letters.cache_clear()
    assert style.families("cat, Katze, кошка, γάτα") == matplotlib.rcParams["font.family"]


def test_a_font_that_has_the_letters_is_taken(monkeypatch):
    """Of two that have some of the missing ones the one that comes first, and the other for what it lacks."""
    letters = {"own": {ord("a")}, "one": {ord("猫"), ord("b")}, "two": {ord("犬"), ord("猫")}}
    monkeypatch.setattr(font_manager, "findfont", lambda _: "own")
    monkeypatch.setattr(style, "_letters", lambda path: np.array(sorted(letters[path])))
    monkeypatch.setattr(style, "_fonts", lambda: [("One", "one"), ("Two", "two")])
    style._with_letters.cache_clear()
    assert style.families("a猫\n犬\U0001f40e")[-2:] == ["One", "Two"]
    assert style.families("犬")[-1] == "Two" and "One" not in style.families("犬")
    style._with_letters.cache_clear()


def test_every_font_of_this_machine_can_be_looked_at():
    fonts = style._fonts()
    assert fonts and all(style._letters(path).ndim == 1 for _, path in fonts)
    assert not any("resort" in name.lower() for name, _ in fonts)
