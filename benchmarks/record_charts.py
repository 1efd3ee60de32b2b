"""Charts of the records in benchmarks/results/, as SVG files in light and dark that carry what they draw."""

import html
import json
import math
import re

import plans
import step_time

from cifar_jax.analysis import reproduction, reproduction_tables, statistics
from cifar_jax.analysis.charts import vega
from cifar_jax.analysis.charts.vega import alt
from cifar_jax.analysis.report import page

PEERS = {"torch": "PyTorch eager", "torch_tuned": "eager with huge pages and kept memory"}
FAMILY = f"DejaVu Sans, {vega.FONT}".replace('"', "'")
DARK = dict(re.findall(r"--([\w-]+): (#\w+)", page.DARK_PAGE))
DARK |= {f"c{i}": colour for i, colour in enumerate(page.DARK)}
ROW = 17  # pixels
HOLLOW = {"shape": "diamond", "size": 58, "color": "var(--c1)", "strokeWidth": 1.8, "opacity": 1}
RESULTS_KEY = {
    "reported": ("diamond", "var(--c1)", [1, 0]),
    "ours, mean of the seeds with its 95 % interval": ("circle", "var(--c0)", [1, 0]),
}
SPEED_KEY = {
    PEERS["torch"]: ("circle", "var(--c0)", [1, 0]),
    PEERS["torch_tuned"]: ("diamond", "var(--c1)", [1, 0]),
}

PARTS = {"computing": ("circle", "var(--c0)", [1, 0]), "sending": ("diamond", "var(--c1)", [6, 3])}
PANELS = {"strong": "512 images, shared out", "weak": "16 images a chip"}
scaling = plans.times


def results(records):
    """Tabulate the reports' trainings: what was reported, and the mean of ours with Student's t interval, in per cent.

    Args:
        records: of reproduction.read_records.
    Returns:
        list of dicts: `report`, `name`, `reported` (None where the report says nothing), `n`, and where n is not 0
        `mean`, `low`, `high` (None of one run), `data`.
    """
    rows = []
    for each, config, own in reproduction_tables.collect(records):
        metric = reproduction.metric_of(config.reported)
        remark = " (F1)" if metric == "f1" else ""
        remark += " (chosen on the test set)" if config.selection == "test" else ""
        row = {"report": each.report, "name": f"{each.config}{remark}"}
        row |= {"reported": config.reported.value, "n": len(own)}
        if own:
            estimate = statistics.estimate_percent([100 * record[metric] for record in own])
            ends = {name: getattr(estimate, name) for name in ("mean", "low", "high")}
            row |= {name: value and round(value, 2) for name, value in ends.items()}
            row["data"] = sorted({record["data"] for record in own})
        rows.append(row)
    return rows


def results_chart(rows):
    """Draw what `results` returns."""
    names = ("reported", "mean", "low", "high")
    figures = [row[name] for row in rows for name in names if row.get(name) is not None]
    ends = [5 * math.floor(min(figures) / 5), 5 * math.ceil(max(figures) / 5)]
    scale = alt.Scale(domain=ends, nice=False)
    parts = []
    for report in dict.fromkeys(row["report"] for row in rows):
        last = report == rows[-1]["report"]
        values = [row for row in rows if row["report"] == report]
        axis = {"title": "Test accuracy (or F1), %" if last else None, "labels": last}
        x = alt.Axis(tickCount=6, **axis)
        y = alt.Y("name:N", sort=None).axis(
            **{"title": None, "domain": False, "grid": True, "labelLimit": 320}
        )
        base = vega.chart(values).encode(y)
        spans = base.mark_rule(color="var(--c0)", strokeWidth=2)
        ours = base.mark_point(filled=True, size=52, color="var(--c0)", opacity=1)
        reported = base.mark_point(**HOLLOW)
        layers = [
            spans.encode(alt.X("low:Q", scale=scale, axis=x), x2="high:Q"),
            ours.encode(alt.X("mean:Q", scale=scale)),
            reported.encode(alt.X("reported:Q", scale=scale)),
            *([] if parts else [vega.key(RESULTS_KEY)]),
        ]
        title = alt.Title(f"report {report}", anchor="start", frame="group", fontSize=11)
        drawn = alt.layer(*layers).properties(width=430, height={"step": ROW}, title=title)
        parts.append(drawn)
    seeds = sorted({row["n"] for row in rows if row["n"]})
    data = sorted({name for row in rows for name in row.get("data", ())})
    ran = sum(row["n"] > 0 for row in rows)
    heading = (
        f"{ran} of {len(rows)} trainings ran so far, n = {' or '.join(map(str, seeds))} each, on "
        f"{' and '.join(data)}"
    )
    return alt.vconcat(*parts, spacing=8, title=alt.Title(heading, anchor="start", dy=-4))


def speed(records):
    """Tabulate the time of a training step beside PyTorch's: the last record of each model that has both peers.

    Args:
        records: lines of step_time.jsonl.
    Returns:
        list of dicts, the fastest first: `model`, `batch_size`, `processes` of each side, `hardware`, `versions`, and
        for each of PEERS its `ratio`, with the least and greatest of the processes that ran in turn, `low`, `high`.
    """
    cases, last = step_time.cases("all"), {}
    for record in records:
        case = record["model"], record["batch_size"]
        if case in cases and PEERS.keys() <= record.get("train", {"ratio": {}})["ratio"].keys():
            last[case] = record
    rows = []
    for (model, batch_size), record in last.items():
        times = record["train"]["ms"]
        row = {"model": model, "batch_size": batch_size, "processes": len(times["ours"])}
        row |= {name: record[name] for name in ("hardware", "versions")}
        for peer in PEERS:
            pairs = [a / b for a, b in zip(times["ours"], times[peer], strict=True)]
            ratio = record["train"]["ratio"][peer]
            row[peer] = {"ratio": ratio, "low": min(pairs), "high": max(pairs)}
        rows.append(row)
    return sorted(rows, key=lambda row: row["torch"]["ratio"])


def speed_chart(rows):
    """Draw what `speed` returns."""
    values = [
        {"name": f"{row['model']}, batch of {row['batch_size']}", **row[peer], "peer": peer}
        for row in rows
        for peer in PEERS
    ]
    greatest = max(*(row["ratio"] for row in values), *(row["torch"]["high"] for row in rows))
    scale = alt.Scale(domain=[0, math.ceil(5 * greatest) / 5], nice=False)
    title = "Time of a training step, PyTorch's = 1: left of the line ours is faster"
    x = alt.X("ratio:Q", scale=scale).axis(title=title, tickCount=8)
    y = alt.Y("name:N", sort=None).axis(title=None, domain=False, labelLimit=260)
    base = vega.chart(values).encode(y)
    eager, tuned = (base.transform_filter(alt.datum.peer == peer) for peer in PEERS)
    bars = eager.mark_bar(color="var(--c0)", opacity=0.32, cornerRadiusEnd=3, height={"band": 0.72})
    spans = eager.mark_rule(color="var(--c0)", strokeWidth=2)
    dots = eager.mark_point(filled=True, size=44, color="var(--c0)", opacity=1)
    diamonds = tuned.mark_point(**HOLLOW)
    one = vega.chart([{"one": 1}]).mark_rule(color="var(--ink)", strokeDash=[4, 3])
    layers = (
        *(bars.encode(x), one.encode(alt.X("one:Q", scale=scale))),
        *(spans.encode(x="low:Q", x2="high:Q"), dots.encode(x), diamonds.encode(x)),
        eager.mark_text(align="left", dx=6, fontSize=10, color="var(--ink)").encode(
            alt.Text("ratio:Q", format=".2f"), x=alt.datum(0, scale=scale)
        ),
        vega.key(SPEED_KEY),
    )
    counts = sorted({row["processes"] for row in rows})
    processes = " to ".join(map(str, sorted({counts[0], counts[-1]})))
    of = [
        "; ".join(sorted({row["hardware"] for row in rows})),
        *sorted({version for row in rows for version in row["versions"]}),
        "random images",
        f"medians and, as lines, ranges of {processes} processes",
    ]
    heading = alt.Title(", ".join(of), anchor="start")
    return alt.layer(*layers).properties(width=430, height={"step": 22}, title=heading)


def scaling_chart(rows):
    """Draw what `scaling` returns."""
    counts = sorted({row["count"] for row in rows})
    x = alt.X("count:Q", scale=alt.Scale(type="log", base=2, domain=[counts[0], counts[-1]]))
    x = x.axis(title="Chips of v5e", values=counts, grid=True)
    panels = []
    for case, title in PANELS.items():
        values = [
            {"count": row["count"], "part": part, "ms": row[part]}
            for row in rows
            for part in PARTS
            if row["case"] == case and row[part]
        ]
        y = alt.Y("ms:Q", scale=alt.Scale(type="log", domain=[0.1, 20], nice=False))
        y = y.axis(title=None if panels else "Milliseconds of a step", tickCount=4)
        layers = []
        for part, (shape, colour, dash) in PARTS.items():
            base = vega.chart([each for each in values if each["part"] == part]).encode(x, y)
            layers += [
                base.mark_line(color=colour, strokeDash=dash, strokeWidth=2),
                base.mark_point(shape=shape, filled=True, size=52, color=colour, opacity=1),
            ]
        layers += [] if panels else [vega.key(PARTS)]
        panels.append(alt.layer(*layers).properties(width=280, height=190, title=title))
    heading = "resnet18's strong recipe in bfloat16: estimates of a compiler, none a measurement"
    return alt.hconcat(*panels, spacing=28, title=alt.Title(heading, anchor="start", dy=-4))


def to_svg(chart, rows):
    """Render a chart as a file in the page's light and dark colours, on a background of its own, with its rows.

    Where a viewer knows no style sheets it is light.
    """
    (drawn,) = vega.rendered(chart, "svg")
    text = drawn.decode().replace("DejaVu Sans", FAMILY)
    rules = []
    for name, colour in {**vega.LIGHT, "card": "white"}.items():
        for what in ("fill", "stroke"):
            if f'{what}="{colour}"' in text:
                rules.append(f'[{what}="{colour}"]{{{what}:{DARK[name]}}}')
    style = f"<style>@media (prefers-color-scheme: dark){{{''.join(rules)}}}</style>"
    data = f"<metadata>{html.escape(json.dumps(rows), quote=False)}</metadata>"
    head, end, rest = text.partition(">")
    return head + end + style + data + rest + "\n"


def rows_of(svg):
    """Read back the rows of a file of `to_svg`."""
    return json.loads(html.unescape(re.search("<metadata>(.*?)</metadata>", svg)[1]))
