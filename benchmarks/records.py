"""What a benchmark keeps: a line of JSON in results/, the day first."""

import datetime
import json


def about():
    """The machine and the versions that a record names. It starts JAX in the process that asks."""
    from cifar_jax.machine import runtime

    return {"hardware": runtime.hardware(), "versions": runtime.versions()}


def append(path, row):
    """Append a row, a dict, with today's date to a file, which a long run does row by row: stopped, it loses none."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"date": datetime.date.today().isoformat(), **row}) + "\n")
