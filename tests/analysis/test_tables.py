"""Tables: what stands in them, in 80 columns."""

import io

import numpy as np
import pytest
from rich.console import Console

from cifar_jax.analysis import result
from cifar_jax.console import tables


def evaluation(names, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(names), 10_000)
    logits = random.normal(size=(10_000, len(names))).astype(np.float32)
    model = {"name": "resnet18_dw", "params": 722_186, "parameter_bytes": 2_888_744}
    model |= {"activation_bytes": 10**9, "activation_batch": 128, "multiply_adds": 51_000_000}
    speed = {"batch": 256, "milliseconds": 12_345.678, "images_per_second": 20.7, "calls": 5}
    dataset = {"name": "cifar10", "class_names": names}
    about = {"split": "validation", "dataset": dataset, "model": model, "speed": [speed]}
    figures = result.describe(labels, logits, names)
    return figures | about | {"hardware": "Intel(R) Xeon(R) Platinum 8488C, 192 cores"}


def printed(shown):
    console = Console(file=io.StringIO(), width=80)
    for table in shown:
        console.print(tables.to_rich(table))
    return console.file.getvalue()


CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_eighty_columns_hold_a_line_for_each_class():
    figures = evaluation(CIFAR)
    text = printed(tables.of_evaluation(figures))
    assert max(map(len, text.splitlines())) <= 80
    for name, row in zip(CIFAR, figures["confusion"], strict=True):
        line = next(line for line in text.splitlines()[25:] if line.startswith(name))
        assert line.split()[1:] == [str(count) for count in row]


def test_of_many_classes_the_worst_are_shown():
    figures = evaluation([f"class_{i}" for i in range(100)])
    shown = tables.of_evaluation(figures)
    assert not any(table.title.startswith("Confusion") for table in shown)
    worst = min(figures["per_class"], key=lambda each: each["accuracy"])
    assert shown[1].title.startswith("The 10 worst of 100")
    assert len(shown[1].rows) == 10 and shown[1].rows[0][2] == f"{100 * worst['accuracy']:.2f}"


def test_pairs_in_words():
    confusion = np.array([[83, 17], [1, 99]])
    figures = {"dataset": {"class_names": ["cat", "dog"]}}
    figures["confused_pairs"] = [
        {"true": 0, "predicted": 1, "images": int(confusion[0, 1]), "fraction": 0.17}
    ]
    assert tables.confused_pairs(figures) == ["cat taken for dog: 17.0 %"]


def test_markdown_keeps_its_columns():
    table = tables.Table("Title", ("run", "value"), [("a|b", "1")])
    assert tables.to_markdown(table) == "## Title\n\n| run | value |\n|---|---:|\n| a\\|b | 1 |"
    assert "a|b" in printed([table]) and "[x]" in printed([table._replace(title="[x]")])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (tables.percent(0.61534), "61.53 %"),
        (tables.percent(None), "-"),
        (tables.confidence(0.98412), "98.4 %"),
        (tables.confidence(0.99951), "> 99.9 %"),
        (tables.percent_range((0.6057, 0.62479)), "60.57 to 62.48"),
        (tables.percent_range(None), "-"),
        (tables.p_value(0.01312), "0.0131"),
        (tables.p_value(1e-12), "< 0.0001"),
    ],
)
def test_numbers(words, text):
    assert words == text


def test_cells_are_text_as_written():
    """No markup, no emoji."""
    names = ("[bold]a[/bold]", ":cat:", "$x^2$", "a|b")
    console = Console(file=io.StringIO(), width=80)
    console.print(
        tables.to_rich(tables.Table("[red]title", ("[b]", ":dog:"), [names[:2], names[2:]]))
    )
    shown = console.file.getvalue()
    assert all(text in shown for text in (*names, "[red]title", "[b]", ":dog:"))


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("holiday/IMG_0042.jpg", 20, "holiday/IMG_0042.jpg"),
        ("holiday/IMG_0042.jpg", 13, "holida…42.jpg"),
        ("holiday/IMG_0042.jpg", 12, "holida…2.jpg"),
        ("猫猫猫猫猫猫.png", 11, "猫猫….png"),  # two cells each; no half of one
    ],
)
def test_the_middle_of_a_text_is_left_out(text, width, short):
    assert tables.shortened(text, width) == short
