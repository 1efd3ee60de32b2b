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
    found = measured("communication", "--models", "basic_net")["basic_net"]
    sent = sum(each["bytes"] for each in found["collectives"])
    # Loss and accuracy are a float each.
    assert sent == 4 * (found["params"] + found["statistics"] + 2)
    assert {each["kind"] for each in found["collectives"]} == {"all-reduce"}
    assert found["params"] == 62_006 and found["statistics"] == 0


@pytest.mark.thorough
def test_a_step_of_one_device_sends_nothing():
    found = measured("communication", "--models", "basic_net", devices=1)
    assert found["basic_net"]["collectives"] == []


@pytest.mark.thorough
def test_the_runs_of_a_sweep_send_nothing():
    found = measured("sweep", "--runs", "20")
    assert found["collectives"] == []
    # 24 runs, three a device, are more than the data set that every device holds.
    assert 3 * found["state_bytes_a_run"] < found["argument_bytes_a_device"]
