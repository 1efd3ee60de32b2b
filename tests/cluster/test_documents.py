"""The scripts of docs/clusters.md: what can be said of them without a cluster."""

import subprocess

import pytest
import yaml
from command_line import ROOT
from documents import code_blocks

from cifar_jax import main
from cifar_jax.machine import places


@pytest.mark.parametrize("script", code_blocks("bash"), ids=["by_hand", "slurm", "tpu_vm"])
def test_shell_scripts_are_bash(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "python -m cifar_jax.main" in script


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (code_blocks("yaml")[0], {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}),
        (code_blocks("yaml")[1], {"TPU_WORKER_HOSTNAMES": "a,b,c,d"}),
    ],
    ids=["gpu", "gke_tpu"],
)
def test_each_pod_of_a_jobset_has_a_place(text, variables, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    jobset = yaml.safe_load(text)
    (group,) = jobset["spec"]["replicatedJobs"]
    job = group["template"]["spec"]
    count = job["parallelism"]
    assert job["completions"] == count and job["completionMode"] == "Indexed"
    (container,) = job["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "cifar_jax.main"]
    placed = []
    for index in range(count):
        words = [
            word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in container["command"]
        ]
        placed.append(main.read(words[2:])[2])
    first = f"{jobset['metadata']['name']}-{group['name']}-0-0.{jobset['metadata']['name']}:4321"
    by_flags = [places.Place(first, count, index) for index in range(count)]
    assert placed == (by_flags if "--processes=2" in container["command"] else [places.Place()] * 4)
