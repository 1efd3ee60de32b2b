"""What is printed at the end of a run."""

import io
import json

from rich.console import Console

from cifar_jax.console import progress


def test_names_of_classes_are_printed_as_they_are(workdir):
    """... whatever they mean to Rich or to a terminal."""
    summary = json.loads((workdir / "summary.json").read_text())
    names = ["[/x]", "[red]", "a\x1b[2J", *map(str, range(7))]
    console = Console(file=io.StringIO(), width=100)
    progress.print_summary(console, summary, names)
    said = console.file.getvalue()
    assert "[/x]" in said and "[red]" in said and "\x1b[2J" not in said
