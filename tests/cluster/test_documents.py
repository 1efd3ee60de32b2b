"""The scripts of docs/clusters.md: what can be said of them without a cluster."""

import re
import shlex
import subprocess

import pytest
import yaml
from command_line import ROOT
from documents import code_blocks

from cifar_jax import main
from cifar_jax.machine import places, ray_workers
from cifar_jax.sweep import __main__ as sweep


@pytest.mark.parametrize(
    "script", code_blocks("bash"), ids=["by_hand", "slurm", "slurm_array", "ray", "tpu_vm"]
)
def test_shell_scripts_are_bash(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "python -m cifar_jax." in script


def test_command_lines_for_ray_and_slurm_are_understood(monkeypatch):
    """Those of Slurm stand in a comment, and are given to the command at the script's end."""
    monkeypatch.chdir(ROOT)
    *_, script, array, ray, _ = code_blocks("bash")
    lines = [re.search("^# sbatch .*?(--.*)", each, re.MULTILINE)[1] for each in (script, array)]
    lines[1] += re.search(r"sweep( --.*?) \"\$@\"", array)[1].replace("$SLURM_ARRAY_TASK_ID", "7")
    trained = re.findall(r"cifar_jax\.(main|sweep) (.*)", ray.replace("\\\n", ""))
    assert [command for command, _ in trained] == ["sweep", "main"]
    for command, line in [("main", lines[0]), ("sweep", lines[1]), *trained]:
        read = {"main": main.read, "sweep": sweep.parse}[command]
        _, given, *_ = read([command, *shlex.split(line)])
        assert given.workdir.startswith("/shared/runs/")
        if command == "sweep" and given.group is not None:
            assert (given.group, given.groups) == (7, 8)
        elif given.ray_workers:
            assert ray_workers.resources(given)["GPU"] >= 1


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
    validate(jobset["spec"]["replicatedJobs"][0]["template"])
    placed = []
    for index in range(count):
        words = [
            word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in container["command"]
        ]
        placed.append(main.read(words[2:])[2])
    first = f"{jobset['metadata']['name']}-{group['name']}-0-0.{jobset['metadata']['name']}:4321"
    by_flags = [places.Place(first, count, index) for index in range(count)]
    assert placed == (by_flags if "--processes=2" in container["command"] else [places.Place()] * 4)


def validate(template):
    """Holds a job against Kubernetes' own schema, where kubernetes-validate is installed."""
    try:
        import kubernetes_validate
    except ImportError:
        return
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "workers"}, **template}
    kubernetes_validate.validate(job, "1.33", strict=True)
    job["spec"] = job["spec"] | {"completion": 2}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.33", strict=True)
