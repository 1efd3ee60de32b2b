"""Names are text in every figure: drawn as written, in one line that fits, and without a warning."""

import unicodedata
import warnings

import numpy as np
import pytest
from matplotlib import cbook, font_manager
from matplotlib.text import Text

from cifar_jax.analysis import figures, ood_figures, overlays, style
from cifar_jax.analysis.figures import confusion, confusions, image_grid
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


def run_figures():
    """name -> figure, of everything that draws names of the user's; and how often each shows them all."""
    count, images = len(NAMES), np.zeros((len(NAMES), 32, 32, 3), np.uint8)
    labels, numbers = np.arange(count), np.linspace(0, 1, 20)
    matrix = np.eye(count, dtype=int)
    run = {"accuracy": 0.5, "confusion": np.eye(2, dtype=int)}
    compared = {"runs": [run | {"name": each} for each in NAMES], "dataset": {"class_names": "ab"}}
    per_class = [PER_CLASS | {"name": each, "accuracy_interval": (0.4, 0.6)} for each in NAMES]
    rows = [
        {"cell": name, "seed": 0, "epoch": n, "train_loss": i + n}
        for i, name in enumerate(NAMES)
        for n in (1, 2)
    ]
    examples = [
        overlays.Example(images[0], np.eye(2), np.zeros((32, 32)), style.shortened(each, 1.5, 8))
        for each in NAMES
    ]
    return {
        "confusion": (confusion(matrix, NAMES, MATHS.replace("$", r"\$")), 2),
        "confusions": (confusions(compared), 1),
        "classes": (figures.classes(per_class, 0.5, "title"), 1),
        "grid": (image_grid(images, labels, matrix.astype(float), NAMES), 1),
        "histogram": (
            ood_figures.histogram(MATHS, [(each, numbers, numbers, OOD) for each in NAMES]), 1,
        ),
        "curves": (sweep_figures.draw(rows, NAMES, "train_loss"), 1),
        "bars": (sweep_figures.bars({n: [50.0] for n in NAMES}, dict.fromkeys(NAMES)), 1),
        "gradcam": (overlays.draw(examples, MATHS), 1),
    }  # fmt: skip


FIGURES = run_figures()


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_drawn_as_written_within_the_figure(name, tmp_path):
    figure, times = FIGURES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(figure, tmp_path, name)
    drawn = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    maths = [each.get_text() for each in drawn
             if each.get_parse_math() and cbook.is_math_text(each.get_text())]  # fmt: skip
    assert all("mathdefault" in each for each in maths)  # numbers of an axis
    said = [
        each.get_text().replace(r"\$", "$") if each.get_parse_math() else each.get_text()
        for each in drawn
    ]
    for expected in (
        MATHS,
        "猫",
        "قطة",
        "बिल्ली",
        "_hidden",
        "50 $ or $60",
        "a\ufffdb\ufffd[2J",
        "{x}%s\\",
    ):
        assert sum(expected in each for each in said) >= times, expected
    assert any("…" in each for each in said)
    width, height = figure.bbox.size
    for text in drawn:
        box = text.get_window_extent()
        where = text.get_text(), box
        assert box.x0 > -2 and box.x1 < width + 2 and box.y0 > -2 and box.y1 < height + 2, where


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
    assert style.families("cat, Katze, кошка, γάτα") == font_manager.rcParams["font.family"]


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
    found = style._fonts()
    assert found and all(style._letters(path).ndim == 1 for _, path in found)
    assert not any("resort" in name.lower() for name, _ in found)
