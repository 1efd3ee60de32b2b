"""Makes the pictures of README and docs, in docs/pictures/:

    python benchmarks/pictures.py                                  # all, in some minutes on two cores
    python benchmarks/pictures.py results.svg speed.svg scaling.svg   # these; of the records alone, without a training
    python benchmarks/pictures.py --folder /tmp/pictures           # keeps the run there, or takes the one that is there

results.svg, speed.svg and scaling.svg are made of benchmarks/results/, the others of one run of configs/quickstart.py
on the embedded digits and of what the command lines make of it: evaluate, report, gradcam, ood. quickstart.png needs a
Chromium (apt-get install chromium) and playwright. After new records run the second line: a test compares.
"""

import argparse
import contextlib
import io
import json
import pathlib
import re
import shutil
import sys
import tempfile

import record_charts
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
PICTURES, RESULTS = ROOT / "docs" / "pictures", ROOT / "benchmarks" / "results"
MOST_BYTES = 150_000
RUN = "runs/quickstart"
COLUMNS, LINES = 84, 39  # of the terminal; lines of its end that are shown
OOD = "noise,constant_colour,shuffled_patches"
OF_RECORDS = {
    "results.svg": ("reproduction.jsonl", record_charts.results, record_charts.results_chart),
    "speed.svg": ("step_time.jsonl", record_charts.speed, record_charts.speed_chart),
    "scaling.svg": ("plans.jsonl", record_charts.scaling, record_charts.scaling_chart),
}
QUICKSTART, TERMINAL = "quickstart.png", "terminal.html"
OF_RUN = {
    QUICKSTART: QUICKSTART,
    "confusion.png": f"{RUN}/evaluation/test_best/figures/confusion.png",
    "gradcam.png": f"{RUN}/gradcam/gradcam.png",
    "ood.png": f"{RUN}/ood/histogram_energy.png",
}
SHOW_CURSOR = "\x1b[?25h"
PATIENCE = 120_000  # milliseconds for the browser, on a busy machine
NAMES = (*OF_RECORDS, *OF_RUN)
SCREEN = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; display: flex; width: 1320px; height: 760px; background: #111317; overflow: hidden }
pre { margin: 0; padding: 16px; flex: none; width: 640px; height: 760px; box-sizing: border-box; color: #e9ebee;
  font: 12px/16.6px "DejaVu Sans Mono", monospace; white-space: pre-wrap; word-break: break-all; overflow: hidden;
  display: flex; flex-direction: column; justify-content: flex-end }
iframe { border: 0; flex: none; width: 1000px; height: 1118px; transform: scale(0.68); transform-origin: 0 0 }
b { display: inline-block; width: 7.225px; font: 9.87px/16.6px "DejaVu Sans"; transform: scaleY(1.4) }
</style><pre><span>LINES</span></pre><iframe src="PAGE"></iframe>"""


def rows_of_records(name):
    """Return the rows of a picture of records, as its file carries them."""
    file, tabulate, _ = OF_RECORDS[name]
    lines = (RESULTS / file).read_text().splitlines()
    return tabulate([json.loads(line) for line in lines])


def train(folder):
    """Run the quickstart and what looks at it in folder/RUN, with the end of its terminal as TERMINAL."""
    from rich.console import Console

    from cifar_jax import config, evaluate, gradcam, ood, report
    from cifar_jax import train as training

    # Not interactive, as the frames of a progress bar are no part of what stays on the screen.
    console = Console(
        file=io.StringIO(),
        **{"record": True, "width": COLUMNS, "highlight": False},
        **{"force_terminal": True, "force_interactive": False},
    )
    with contextlib.chdir(folder):
        training.train_and_evaluate(config.load(ROOT / "configs/quickstart.py"), RUN, console)
        for command, arguments in (
            (evaluate, ["--workdir", RUN, "--no-speed"]),
            (report, [RUN]),
            (gradcam, ["--workdir", RUN, "--count", "6"]),
            (ood, ["--workdir", RUN, "--ood", OOD]),
        ):
            if code := command.main(arguments):
                sys.exit(f"{command.__name__} ended with {code}")
    lines = console.export_html(inline_styles=True, code_format="{code}").splitlines()
    shown = [line for line in lines if line != SHOW_CURSOR]  # which Rich takes for text
    (folder / TERMINAL).write_text("\n".join(shown[-LINES:]))


def screenshot(folder):
    """Draw the end of the run's terminal beside the top of its report, as folder/QUICKSTART."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if not chromium:
        sys.exit("error: no Chromium; apt-get install chromium")
    # Braille comes from another font, whose letters are wider than a terminal's cells.
    lines = re.sub("[\u2801-\u28ff]", r"<b>\g<0></b>", (folder / TERMINAL).read_text())
    text = SCREEN.replace("LINES", lines)
    screen = folder / "screen.html"
    screen.write_text(text.replace("PAGE", f"{RUN}/report.html"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = {"viewport": {"width": 1320, "height": 760}, "device_scale_factor": 1.5}
        tab = browser.new_page(**view, color_scheme="light")
        tab.set_default_timeout(PATIENCE)
        tab.goto(screen.as_uri())
        tab.frames[1].wait_for_selector(".chart svg")
        tab.screenshot(path=folder / QUICKSTART)
        browser.close()


def copy_small(source, path):
    """Copy a PNG in as many of 256 colours, halved until it has at most MOST_BYTES.

    Raises:
        SystemExit: in 16 it has more.
    """
    picture = Image.open(source).convert("RGB")
    for colours in (256, 128, 64, 32, 16):
        few = picture.quantize(colours, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    sys.exit(f"error: {path} has more than {MOST_BYTES} bytes")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all")
    parser.add_argument("--folder", metavar="FOLDER", help="of the run; a temporary one")
    arguments = parser.parse_args()
    names = arguments.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    PICTURES.mkdir(exist_ok=True)
    for name in [name for name in OF_RECORDS if name in names]:
        rows = rows_of_records(name)
        chart = OF_RECORDS[name][2](rows)
        (PICTURES / name).write_text(record_charts.to_svg(chart, rows))
    if OF_RECORDS.keys() >= set(names):
        return
    with contextlib.ExitStack() as stack:
        temporary = arguments.folder or stack.enter_context(tempfile.TemporaryDirectory())
        folder = pathlib.Path(temporary).absolute()
        if not (folder / TERMINAL).exists():
            folder.mkdir(exist_ok=True)
            train(folder)
        if QUICKSTART in names:
            screenshot(folder)
        for name in [name for name in OF_RUN if name in names]:
            copy_small(folder / OF_RUN[name], PICTURES / name)


if __name__ == "__main__":
    main()
