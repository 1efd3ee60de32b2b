"""A run's metrics.jsonl."""

import json


def rows(workdir, split=None):
    """Its lines as dicts, of one split where one is named."""
    every_row = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [row for row in every_row if split in (None, row["split"])]
