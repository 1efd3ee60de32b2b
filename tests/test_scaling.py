"""What a step sends, counted in the compiled program, is what docs/scaling.md says."""

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


@pytest.mark.parametrize("devices", [1, 8])
def test_a_step_sends_gradient_statistics_loss_and_accuracy(devices):
    for model, found in measured(
        "communication", "--models", "modified_net,basic_net", devices=devices
    ).items():
        sent = sum(each["bytes"] for each in found["collectives"])
        # Loss and accuracy are a float each; a step of one device sends nothing.
        expected = 4 * (found["params"] + found["statistics"] + 2)
        assert sent == (expected if devices > 1 else 0), model
        assert {each["kind"] for each in found["collectives"]} <= {"all-reduce"}, model
    assert found["params"] == 62_006 and found["statistics"] == 0


def test_the_runs_of_a_sweep_send_nothing():
    found = measured("sweep", "--runs", "20")
    assert found["collectives"] == []
    # 24 runs, three a device, are more than the data set that every device holds.
    assert 3 * found["state_bytes_a_run"] < found["argument_bytes_a_device"]
