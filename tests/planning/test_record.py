"""What compilers said of the reports' trainings, and what they say now: benchmarks/plans.py, kernel_plan.py."""

import json
import os
import runpy
import subprocess
import sys

import pytest
from command_line import ROOT

sys.path.append(str(ROOT / "benchmarks"))  # for what it imports of its own
plans = runpy.run_path(str(ROOT / "benchmarks/plans.py"))
RECORD = plans["recorded"]()


def names(row):
    return f"{row['case']} {row['devices']}"


@pytest.mark.thorough
def test_the_page_shows_the_record():
    text = plans["PAGE"].read_text()
    assert plans["page"](text) == text


@pytest.mark.parametrize("row", RECORD.values(), ids=names)
def test_a_step_sends_what_the_page_says(row):
    assert (
        plans["faults"](row["case"], row | {"train": row["train"] | {"data_copies": 0}}, row) == []
    )


@pytest.mark.parametrize(
    ("case", "norms"),
    [("basic_net.py", 0), ("modified_net.py:baseline", 3), ("plain_cnn.py:model_1", 6)],
)
def test_statistics_of_the_whole_batch_wait_twice_for_each_batch_norm(case, norms):
    (sent,) = RECORD[case, "v5e:2x2"]["train"]["collectives"].items()
    assert sent[0] == "all-reduce" and sent[1]["count"] == 1 + 2 * norms


def test_a_fault_of_a_plan_is_named():
    row = RECORD["basic_net.py", "v5e:2x2"]
    train = row["train"] | {"data_copies": 0}
    for changes, said in (
        ({"data_copies": 1}, "1 copies of the data set"),
        ({"host_operations": 2}, "2 exchanges with the host"),
        ({"temporary_bytes": 1.03 * train["temporary_bytes"]}, "temporary_bytes"),
        ({"collectives": {}}, "a step sends 0 bytes"),
    ):
        (first, *_) = plans["faults"](row["case"], row | {"train": train | changes}, row)
        assert said in first


def test_each_report_has_its_program_and_those_that_differ_in_rates_share_one():
    programs = [[each.config for each in alike] for alike in plans["programs"]()]
    assert sum(map(len, programs)) == 34 and len(programs) < 25
    (of_baseline,) = [alike for alike in programs if "modified_net.py:baseline" in alike]
    assert "modified_net.py:lr_0.01" in of_baseline and "modified_net.py:adam" not in of_baseline


def run(script, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("devices", "module"), [("v5e:2x2", "libtpu"), ("h100:1", "jax_cuda13_plugin")]
)
def test_the_compilers_hold_to_the_record(devices, module):
    pytest.importorskip(module, reason="its compiler is not installed")
    seconds = os.environ.get("CIFAR_JAX_PLAN_SECONDS", "0")  # 0: basic_net alone
    lines = run("plans.py", "--devices", devices, "--check", "--seconds", seconds)
    print(*lines, sep="\n")
    assert lines and all(": holds" in line for line in lines)


@pytest.mark.thorough
def test_the_pallas_kernel_compiles_for_an_h100_in_little_shared_memory():
    pytest.importorskip("jax_cuda13_plugin", reason="its compiler is not installed")
    found = [json.loads(line) for line in run("kernel_plan.py")]
    assert len(found) == 4
    for each in found:
        assert len(each["launches"]) == 3  # forward, and the gradients by image and kernel
        assert max(launch["shared_memory"] for launch in each["launches"]) <= 1024
        registers = {launch["registers"] for launch in each["launches"]}
        assert registers == {None} or max(registers) < 255  # all that a thread has


def test_a_time_is_shown_only_where_it_is_by_the_compilers_cycles():
    """The clock of a v6e is not known, and what its peak allows is a bound."""
    for row in plans["of_reports"]().rows:
        parts = [len(cell.split(", ")) for cell in row[2:]]
        assert parts == [3, 2, 2, 2, 2, 2], row
