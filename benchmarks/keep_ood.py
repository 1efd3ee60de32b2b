"""Keeps what a run of report 004 says of its out-of-distribution detection, for the table in docs/results.md.

    python -m cifar_jax.ood --workdir RUN --layer relu_9,relu_10 --ood digits,noise,constant_colour,shuffled_patches
    python benchmarks/keep_ood.py --workdir RUN --data_name "CIFAR-10 (JPEG-75 copy)"
    python -m cifar_jax.reproduce --table

Appends the rows of the mean activation to results/ood.jsonl.
"""

import argparse
import json
import pathlib

import records

RESULTS = pathlib.Path(__file__).parent / "results" / "ood.jsonl"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workdir", required=True, help="of the run")
    parser.add_argument("--data_name", default="CIFAR-10", help="what the data is called")
    options = parser.parse_args()
    folder = pathlib.Path(options.workdir)
    if not (folder / "ood" / "ood.json").is_file():
        parser.error(f"{folder} has no ood/ood.json: run the first of these lines (--help) on it")
    outliers = json.loads((folder / "ood" / "ood.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    layers = {name: score["layer"] for name, score in outliers["scores"].items()}
    row = {
        **records.about(),
        **{name: outliers["run"][name] for name in ("model", "checkpoint", "step")},
        **{"seed": config["config"]["seed"], "data": options.data_name},
        "options": outliers["options"],
        "results": [
            each | {"layer": layers[each["score"]]}
            for each in outliers["results"]
            if layers[each["score"]] in outliers["reported"]["accuracy"]
        ],
    }
    records.append(RESULTS, row)
    print(f"{len(row['results'])} rows to {RESULTS}")


if __name__ == "__main__":
    main()
