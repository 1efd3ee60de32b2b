"""The pictures of README and docs: they are there, small, and made of the records as these are now."""

import itertools
import re
import sys
from xml.etree import ElementTree

import pytest
from command_line import ROOT
from PIL import Image

sys.path.append(str(ROOT / "benchmarks"))
import pictures  # noqa: E402
import record_charts  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = re.compile(r"""!\[[^\]]*\]\(([^)\s]+)|\bsrc(?:set)?="([^"\s]+)""")
of_records = pytest.mark.parametrize("name", pictures.OF_RECORDS)


@of_records
def test_they_show_the_records(name):
    rows = pictures.rows_of_records(name)
    drawn = record_charts.rows_of((pictures.PICTURES / name).read_text())
    assert drawn == rows, "python benchmarks/pictures.py results.svg speed.svg scaling.svg"


@pytest.mark.thorough
@of_records
def test_they_are_drawn_as_they_would_be_now(name):
    """Word for word; lines and places are the drawing library's."""

    def words(svg):
        return sorted(re.findall(r">([^<>]+)</text>", svg))

    rows = pictures.rows_of_records(name)
    now = record_charts.to_svg(pictures.OF_RECORDS[name][2](rows), rows)
    assert words(now) == words((pictures.PICTURES / name).read_text())


@of_records
def test_they_are_light_and_dark(name):
    text = (pictures.PICTURES / name).read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    dark = text[text.index("prefers-color-scheme: dark") :]
    for name, light in {"ink": record_charts.vega.LIGHT["ink"], "card": "white"}.items():
        assert f'fill="{light}"' in text
        assert f'[fill="{light}"]{{fill:{record_charts.DARK[name]}}}' in dark


def test_the_times_are_those_of_the_docs():
    """A table there has them beside others; of each model it is one line."""
    text = "\n".join(page.read_text() for page in PAGES)
    for row in pictures.rows_of_records("speed.svg"):
        (line,) = re.findall(
            rf"^\| `{row['model']}` \| {row['batch_size']} \|.*", text, re.MULTILINE
        )
        assert {f"{row[peer]['ratio']:.2f}" for peer in record_charts.PEERS} <= {*line.split()}


def test_the_sentence_of_the_readme_is_theirs():
    rows = pictures.rows_of_records("speed.svg")
    ratios = {peer: [row[peer]["ratio"] for row in rows] for peer in record_charts.PEERS}
    eager, tuned = (f"{min(each):.2f} to {max(each):.2f}" for each in ratios.values())
    below = sum(each < 1 for each in next(iter(ratios.values())))
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"takes {eager} times as long" in text and f"allocator {tuned}." in text
    assert f"of {len(rows)} pairs of model and batch all below 1" in text and below == len(rows)


def test_all_are_there_and_small():
    paths = list(pictures.PICTURES.iterdir())
    assert {path.name for path in paths} == {*pictures.NAMES}
    assert all(path.stat().st_size <= pictures.MOST_BYTES for path in paths)


@pytest.mark.parametrize("name", [name for name in pictures.NAMES if name.endswith(".png")])
def test_photographs_have_a_background_of_their_own(name):
    with Image.open(pictures.PICTURES / name) as picture:
        assert not picture.has_transparency_data


def test_those_that_the_docs_show_are_there():
    for page in PAGES:
        places = filter(None, itertools.chain(*SHOWN.findall(page.read_text())))
        missing = [
            each for each in places if "://" not in each and not (page.parent / each).is_file()
        ]
        assert not missing, f"{page}: {missing}"
