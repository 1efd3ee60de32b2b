"""The page of a report: views of runs, put into the templates beside this file."""

import base64
import datetime
import functools
import hashlib
import pathlib
import re

import jinja2
from markupsafe import Markup

import cifar_jax
from cifar_jax.analysis import style
from cifar_jax.analysis.charts import vega
from cifar_jax.analysis.report import comparing, pictures, views

TEMPLATES = pathlib.Path(__file__).parent / "templates"
IMAGES, IMAGE_BYTES = 240, 1_000_000  # embedded, of all runs together

# What style.COLOURS becomes on a dark page: black turns white, and the two blues change places.
DARK = (style.COLOURS[5], *style.COLOURS[1:4], "#e8eaed", style.COLOURS[0], style.COLOURS[6])
DARK_PAGE = (
    "color-scheme: dark; --bg: #111317; --card: #191c21; --ink: #e9ebee; --muted: #a2a8b3; --line: #2d3138; "
    "--soft: #22262c; --heat: #56b4e9; --on-heat: #06131d; --notice: #2c2616; --notice-line: #5d4d24;"
)


def render(collected, images=IMAGES):
    """Render the HTML of a report.

    Args:
        collected: list of collect.Collected, at least one.
        images: how many are embedded at most, of all runs together.
    Returns:
        bytes, UTF-8.
    """
    specifications, runs = {}, []
    for i, each in enumerate(collected):
        share = images // len(collected), IMAGE_BYTES // len(collected)
        shots = pictures.gallery(each.images, each.predictions, *share)
        runs.append(views.of_run(each, f"run-{i}", shots, specifications))
    compared = comparing.of_runs(collected, specifications) if len(collected) > 1 else None
    scripts = [_script(vega.library()), _script(_text("page.js"))]
    names = [each.name for each in collected]
    html = _environment().get_template("page.html").render(
        policy=_policy(scripts),
        style=Markup(style_sheet()),
        scripts=scripts,
        title=" · ".join(names) + " – cifar_jax",
        heading=names[0] if len(names) == 1 else "Comparison of " + _listed(names),
        lead=_lead(collected),
        navigation=_navigation(runs),
        runs=runs,
        charts=specifications,
        confusions={
            run["id"]: each.evaluation["confusion"]
            for run, each in zip(runs, collected, strict=True)
        },
        comparison=compared,
        version=cifar_jax.__version__,
        written=f"{datetime.datetime.now():%d %B %Y, %H:%M}",
    )  # fmt: skip
    return html.encode("utf-8", "replace")  # a folder's name may hold bytes that are no text


def _lead(collected):
    models, sets = (
        _listed(list(dict.fromkeys(each.evaluation[of]["name"] for each in collected)))
        for of in ("model", "dataset")
    )
    if len(collected) > 1:
        return f"{models} on {sets}."
    evaluation = collected[0].evaluation
    checkpoint, step = evaluation["checkpoint"], evaluation["step"]
    return f"{models} on {sets}, checkpoint {checkpoint} of step {step:,}."


def _listed(names):
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"


def _navigation(runs):
    if len(runs) > 1:
        own = [{"anchor": run["id"], "title": run["name"]} for run in runs]
        return [{"anchor": "compare", "title": "Side by side"}, *own]
    titles = ("Summary", "Reported", "Curves", "Confusion", "Classes", "Calibration", "Images")
    titles += ("Grad-CAM", "OOD", "Config", "Environment")
    return [
        {"anchor": f"run-0-{title.lower().replace('-', '')}", "title": title} for title in titles
    ]


@functools.cache
def _environment():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    # NaN is no JSON; better no page than one that shows nothing.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _text(name):
    return (TEMPLATES / name).read_text(encoding="utf-8")


def style_sheet():
    """Return the style sheet with the colours of style.COLOURS."""

    def colours(values):
        return " ".join(f"--c{i}: {value};" for i, value in enumerate(values))

    text = _text("style.css").replace("LIGHT", colours(style.COLOURS))
    return text.replace("DARK", f"{DARK_PAGE} {colours(DARK)}")


def _script(text):
    """Mark a script of ours or of Vega as fit to stand in a page."""
    if re.search(r"</script|<!--", text, re.IGNORECASE):
        raise ValueError("a script that would end its own element")
    return Markup(text)


def _policy(scripts):
    """Write a content security policy: these scripts and nothing else run, and nothing is loaded."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
