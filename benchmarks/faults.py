"""What becomes of a run that is broken or in odd surroundings: the real command line, and then the same once more.

    python benchmarks/faults.py
    python benchmarks/faults.py --faults SIGKILL,sweep --kills 10

Runs of basic_net on the embedded digits (where an archive matters, on a small CIFAR-10 one) are killed, damaged and
starved (`broken_runs.py`), or lose their files, HOME and usual environment, or get odd data (`surroundings.py`). A row
says how often that was done, the exit codes of the processes, at most how many lines stood on stderr, and whether all
ended, once started again where that was due, with the same bytes as the undisturbed run: parameters, optimizer state,
metrics and results. The name of the folder that all of it happens in has a blank and brackets. Mounting small disks
takes root; without it those rows say so. The short form is tests/faults. Needs the package's `test` extra.

Appends to benchmarks/results/faults.jsonl.
"""

import argparse
import collections
import os
import pathlib
import sys
import tempfile
import time

import records
from broken_runs import Broken
from surroundings import Surroundings

RESULTS = pathlib.Path(__file__).parent / "results" / "faults.jsonl"


class Faults(Broken, Surroundings):
    pass


NAMES = (
    "SIGKILL",
    "SIGTERM",
    "SIGINT",
    "full_disk",
    "read_only_workdir",
    "damaged_checkpoint",
    "clock_set_back",
    "two_trainings",
    "damaged_data_cache",
    "tensorboard_unwritable",
    "tensorboard_after_kills",
    "sweep",
    "every_command",
    "url_for_a_path",
    "newer_checkpoint",
    "archive_gone",
    "weights_gone",
    "no_home",
    "jax_variables",
    "constant_channel",
    "great_weights",
    "weights_of_torch",
    "range_unknown",
)


def row(name, fault):
    exits, same, remark = fault()
    codes = collections.Counter(code for code, _ in exits)
    return {
        "fault": name,
        "times": len(exits),
        "exit_codes": {str(code): count for code, count in sorted(codes.items())},
        "lines_at_most": max((len(errors.split("\n")) - 1 for _, errors in exits), default=0),
        "tracebacks": sum("Traceback" in errors for _, errors in exits),
        "same": same,
        "remark": remark,
    }


def line(entry):
    codes = ", ".join(f"{code} ({count})" for code, count in entry["exit_codes"].items())
    same = {True: "same", False: "OTHER", None: "skipped"}[entry["same"]]
    lines, tracebacks = entry["lines_at_most"], entry["tracebacks"]
    return (
        f"{entry['fault']:>24} {entry['times']:>3}  {codes:<24} {lines:>5} {tracebacks:>10}  {same:<8}"
        f"{entry['remark']}"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--faults", default=",".join(NAMES), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs; a fifth as many SIGTERMs")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    options = parser.parse_args()
    chosen = options.faults.split(",")
    if unknown := set(chosen) - set(NAMES):
        parser.error(f"no fault {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    from cifar_jax.machine import runtime

    rows, began = [], time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="faults [1] ") as folder:
            # Its own compilation cache, warm from the undisturbed run on.
            os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/xla"
            os.environ["CIFAR_JAX_TUNING"] = "as it is"
            faults = Faults(pathlib.Path(folder), options.kills, options.seed)
            head = f"{'fault':>24} {'n':>3}  {'exit codes (n)':<24} lines tracebacks  ended"
            print(
                f"{runtime.hardware()}; an undisturbed run takes {faults.seconds:.1f} s\n{head}",
                flush=True,
            )
            for name in chosen:
                rows.append(row(name, getattr(faults, name)))
                print(line(rows[-1]), flush=True)
    finally:  # of a long run that is stopped, too
        if rows:
            minutes = round((time.monotonic() - began) / 60, 1)
            found = {"seed": options.seed, "minutes": minutes, "faults": rows}
            records.append(RESULTS, records.about() | found)
    sys.exit(any(each["same"] is False or each["tracebacks"] for each in rows))


if __name__ == "__main__":
    main()
