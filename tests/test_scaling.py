"""What a step of the models sends, counted by benchmarks/scaling.py; a small net's: test_parallel.py."""

import json
import os
import subprocess
import sys

import processes
import pytest
from command_line import ROOT


def measured(part, *options, devices=8):
    command = [sys.executable, str(ROOT / "benchmarks/scaling.py"), "--only", part]
    done = subprocess.run(
        [*command, "--devices", str(devices), *options],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | processes.devices(devices),
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.thorough
def test_a_step_sends_gradient_statistics_loss_and_accuracy():
    """One with statistics: test_parallel.py."""
    measures = measured("communication", "--models", "basic_net")["basic_net"]
    sent = sum(each["bytes"] for each in measures["collectives"])
    # Loss and accuracy are a float each.
    assert sent == 4 * (measures["params"] + measures["statistics"] + 2)
    assert {each["kind"] for each in measures["collectives"]} == {"all-reduce"}
    assert measures["params"] == 62_006 and measures["statistics"] == 0


@pytest.mark.thorough
def test_a_step_of_one_device_sends_nothing():
    measures = measured("communication", "--models", "basic_net", devices=1)
    assert measures["basic_net"]["collectives"] == []


@pytest.mark.thorough
def test_the_runs_of_a_sweep_send_nothing():
    measures = measured("sweep", "--runs", "20")
    assert measures["collectives"] == []
    # 24 runs, three a device, are more than the data set that every device holds.
    assert 3 * measures["state_bytes_a_run"] < measures["argument_bytes_a_device"]
