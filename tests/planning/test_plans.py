"""Plans: of virtual CPU devices, as the main job's own programs are; and the advice where memory does not suffice."""

import json
import os
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from command_line import QUICK, ROOT, run_main, run_module

from cifar_jax import config as config_lib
from cifar_jax import data, plan
from cifar_jax.data import dataset
from cifar_jax.errors import ConfigError
from cifar_jax.planning import devices, hlo, jobs, planner, plans
from cifar_jax.planning.jobs import Job

(ONE,) = devices.parse("cpu:1")


def job_of(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(fields)
    return Job(config_lib.check(config), *jobs.KNOWN["digits"])


@pytest.mark.thorough
def test_a_plan_of_one_device_sends_nothing_and_counts_memory(small_config):
    job = job_of(small_config)
    result = plans.plan(job, ONE)
    assert result["train"]["collectives"] == {} and result["formula_bytes"] == 0
    images = job.count * 32 * 32 * 3
    assert result["memory"]["data"] == images
    state = 4 * 710  # parameters, at least
    assert images + state < result["memory"]["used"] < images + 4e6
    assert result["memory"]["share"] is None and result["seconds"] is None
    assert json.loads(json.dumps(result)) == result


@pytest.mark.thorough
def test_the_data_are_not_copied_and_nothing_is_exchanged_with_the_host(small_config):
    result = plans.plan(job_of(small_config), ONE)
    for name in ("train", "evaluate"):
        assert result[name]["temporary_bytes"] < 1438 * 32 * 32 * 3 / 2
        assert result[name]["host_operations"] == result[name]["data_copies"] == 0


def test_seconds_are_cycles_by_the_clock_or_peak_rates_and_what_is_sent(small_config):
    job = job_of(small_config, batch_size=64)
    program = {
        "steps": 6, "flops": 4e9, "bytes_accessed": 1e9, "cycles": 3_000_000,
        "collectives": {"all-reduce": {"count": 1, "bytes": 10**8}},
    }  # fmt: skip
    result = {"device_count": 4, "train": program}
    of_tpu = plans.time_of(job, devices.parse("v5e:2x2")[0], result)
    sent = 2 * 3 / 4 * 1e8 / 200e9
    assert of_tpu["communication"] == pytest.approx(sent)
    assert of_tpu["step"] == pytest.approx(0.002 + sent)
    assert of_tpu["epoch"] == pytest.approx(of_tpu["step"] * job.steps_per_epoch)
    assert of_tpu["total"] == pytest.approx(of_tpu["epoch"] * job.config.total_epochs)
    of_card = plans.time_of(
        job, devices.parse("h100:4")[0], result | {"train": program | {"cycles": None}}
    )
    assert of_card["step"] == pytest.approx(1e9 / 3352e9 + 2 * 3 / 4 * 1e8 / 450e9)
    assert "lower bound" in of_card["basis"]


def test_a_training_that_does_not_fit_is_planned_with_the_first_change_that_does(
    small_config, monkeypatch
):
    tried, told = [], []

    def plan(job, devices, *_, **__):
        tried.append((job.config.accumulate_steps, job.config.dtype))
        if job.config.dtype != "bfloat16":
            raise plans.TooLarge("RESOURCE_EXHAUSTED: Used 20.50G of 15.75G hbm")
        return {"memory": {"share": 0.9, "used": 1e9, "there": 2e9}}

    monkeypatch.setattr(plans, "plan", plan)
    result = planner.plan_or_advise(job_of(small_config), ONE, told.append)
    assert result["changes"] == {"accumulate_steps": 4, "dtype": "bfloat16"}
    assert tried == [(1, "float32"), (2, "float32"), (4, "float32"), (4, "bfloat16")]
    assert "22.0 GB a device" in told[1]
    assert told[-1].endswith(
        "it fits with --config.accumulate_steps=4, --config.dtype=bfloat16; planned so"
    )


def test_what_contradicts_the_config_is_not_proposed_and_what_does_not_divide_is_said(
    small_config, monkeypatch
):
    weighted = job_of(small_config, **{"loss.class_weights": (1.0,) * 10, "accumulate_steps": 1})
    assert [sorted(changes) for changes, *_ in plans.smaller(weighted, 1)][0] == ["dtype"]
    several = [
        changes["accumulate_steps"]
        for changes, *_ in plans.smaller(job_of(small_config, accumulate_steps=3), 1)
    ]
    assert several[:2] == [6, 12]
    told, calls = [], []

    def plan(job, devices, *_, **__):
        calls.append(job.config.accumulate_steps)
        raise (
            plans.TooLarge("") if len(calls) == 1 else ConfigError("batch_size=36 does not divide")
        )

    monkeypatch.setattr(plans, "plan", plan)
    assert planner.plan_or_advise(job_of(small_config, batch_size=36), ONE, told.append) is None
    assert any("not so: batch_size=36 does not divide" in line for line in told) and len(calls) > 2


@pytest.mark.thorough
def test_parts_of_a_batch_are_counted_together(small_config):
    whole, parts = (
        plans.plan(job_of(small_config, batch_size=64, accumulate_steps=n), ONE) for n in (1, 4)
    )
    assert parts["train"]["flops"] == pytest.approx(whole["train"]["flops"], rel=0.6)


def test_the_largest_batch_is_found_by_halving(small_config, monkeypatch):
    def plan(job, devices, *_, **__):
        return {"memory": {"share": job.config.batch_size / 300, "used": 1, "there": 1}}

    monkeypatch.setattr(plans, "plan", plan)
    assert 300 * 7 / 8 <= plans.largest_batch(job_of(small_config), ONE, print) <= 300
    monkeypatch.setattr(plans, "fits", lambda result: True)
    most = plans.largest_batch(job_of(small_config), ONE, print)
    assert 1295 * 7 / 8 <= most <= 1295  # all images are one batch


def test_operations_are_counted_by_layers_where_the_compiler_counts_none(small_config):
    job = job_of(small_config, batch_size=64)
    adds = plans.cost.multiply_adds(job.config.model.name, 10, (32, 32, 3))
    assert plans.flops_of(job, "train", 4) == 6 * adds * 16
    counted = plans.plan(job, ONE)["train"]["flops"]
    assert 0.5 < plans.flops_of(job, "train", 1) / counted < 2


def test_sizes_of_data_sets():
    given = SimpleNamespace(train_count=None, test_count=None, classes=None)
    assert jobs.sizes("cifar100", given) == ((500,) * 100, 10_000)
    with pytest.raises(
        Exception, match="the sizes of beans are not known here: give --train_count"
    ):
        jobs.sizes("beans", given)
    given.train_count, given.classes = 1000, 3
    assert jobs.sizes("beans", given) == ((333, 333, 334), 200)
    given.classes = None
    assert jobs.sizes("mnist", given) == ((100,) * 10, 10_000)


@pytest.mark.parametrize("held_out", [0.0, 0.1, 0.25])
def test_a_plan_divides_a_data_set_as_a_training_does(small_config, held_out):
    fields = {"dataset.validation_fraction": held_out, "selection": "last"}
    job = job_of(small_config, **fields)
    labels = np.repeat(np.arange(job.classes), job.class_sizes)
    trained_on, _ = dataset.stratified_split(labels, held_out, 0)
    assert job.trained_on == len(trained_on)
    assert np.bincount(data.load("digits", "", "").split("train")[1]).tolist() == [*job.class_sizes]


def test_sizes_of_classes_are_those_of_the_data_sets():
    totals = {name: sum(of_class) for name, (of_class, _) in jobs.KNOWN.items()}
    assert totals == {
        "cifar10": 50_000, "cifar100": 50_000, "svhn_cropped": 73_257, "mnist": 60_000,
        "fashion_mnist": 60_000, "digits": 1_438,
    }  # fmt: skip


def test_memory_is_of_the_step_or_of_the_evaluation_whichever_needs_more(small_config):
    job = job_of(small_config, **{"dataset.validation_fraction": 0.25})
    part = {"argument_bytes": 5_000_000, "temporary_bytes": 1000, "output_bytes": 10}
    train, evaluate = part, part | {"temporary_bytes": 7_000_000}
    beside = (job.count - job.trained_on) * 3072
    assert plans.memory_of(job, ONE, 1, {"train": train})["used"] == 5_001_010 + beside
    both = plans.memory_of(job, ONE, 1, {"train": train, "evaluate": evaluate})["used"]
    assert both == 5_000_000 + beside + 359 * 3072 + 7_000_010
    streamed = job_of(
        small_config, **{"dataset.residency": "stream"}
    )  # no images, of neither split, stay there
    alone = plans.memory_of(streamed, ONE, 1, {"train": train | {"temporary_bytes": 9_000_000}})
    beside_it = plans.memory_of(
        streamed, ONE, 1, {"train": train | {"temporary_bytes": 9_000_000}, "evaluate": part}
    )
    assert beside_it["used"] == alone["used"] and alone["data"] == 0
    runs = job._replace(runs=(None,) * 6)  # two of them on each of four devices
    more = plans.memory_of(runs, ONE, 4, {"train": train})["used"] - 5_001_010 - beside
    assert more == 2 * 4 * (710 + 12)


def test_what_is_sent_takes_its_way_round_the_ring():
    (four,), (machines,) = devices.parse("h100:4"), devices.parse("h100:16")
    of_kind = {"count": 1, "bytes": 4.5e9}
    seconds = {
        kind: plans.sending(four, 4, {kind: of_kind})
        for kind in ("all-reduce", "all-gather", "reduce-scatter", "collective-permute")
    }
    assert seconds == pytest.approx(
        {
            "all-reduce": 0.015,
            "all-gather": 0.0075,
            "reduce-scatter": 0.03,
            "collective-permute": 0.01,
        }
    )
    between = plans.sending(machines, 16, {"all-reduce": of_kind})
    assert between == pytest.approx(2 * 15 / 16 * 4.5e9 / 50e9)
    assert plans.sending(devices.parse("v5e")[0], 1, {}) == 0


def test_a_sweeps_file_is_known_by_its_function(tmp_path):
    assert jobs.is_sweep(str(ROOT / "configs/sweeps/quickstart.py"))
    assert not jobs.is_sweep(str(ROOT / "configs/basic_net.py:x"))
    assert not jobs.is_sweep(str(tmp_path / "none.py"))
    assert jobs.is_sweep("sweeps/quickstart") and not jobs.is_sweep("quickstart")
    for named in ("sweeps/quickstart", "configs/sweeps/quickstart.py"):
        assert jobs.load(*plan.parse(["plan", "--config", named])).cells


@pytest.mark.thorough
def test_the_main_job_on_virtual_devices_sends_what_its_plan_says(tmp_path):
    batch, dump = "--config.batch_size=64", tmp_path / "dump"
    config = "--config", ROOT / "configs/quickstart.py", batch, "--config.log_every_steps=10"
    done = run_module("plan", *config, "--devices", "cpu:4", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (planned,) = json.loads(done.stdout)
    flags = f"--xla_dump_to={dump} --xla_dump_hlo_module_re=train_steps"
    four = {"JAX_NUM_CPU_DEVICES": "4", "NPROC": "32", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    flags = {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {flags}"}
    run = run_main(tmp_path / "run", *QUICK, "--config.total_epochs=1", **four, **flags)
    assert run.returncode == 0, run.stderr
    (program,) = dump.glob("*.cpu_after_optimizations.txt")
    sent = hlo.of_loop(program.read_text()).collectives
    assert sent == planned["train"]["collectives"] and sent["all-reduce"]["count"] > 0


@pytest.mark.thorough
def test_the_command_plans_virtual_devices(tmp_path):
    config = "--config", ROOT / "configs/quickstart.py", "--config.batch_size=64"
    done = run_module("plan", *config, "--devices", "cpu:4,cpu:1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    four, one = json.loads(done.stdout)
    assert four["device_count"] == 4 and four["batch_a_device"] == 16
    assert set(four["train"]["collectives"]) == {"all-reduce"} and one["train"]["collectives"] == {}
    assert four["formula_bytes"] == 4 * 62_006 + 8
    table = run_module("plan", *config, "--devices", "cpu:4", cwd=tmp_path)
    assert "by docs/scaling.md" in table.stdout and "0.248 MB" in table.stdout
    sweep = "--config", ROOT / "configs/sweeps/quickstart.py", "--runs", "2"
    done = run_module("plan", *sweep, "--devices", "cpu:2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (of_sweep,) = json.loads(done.stdout)
    assert of_sweep["runs"] == 6 and of_sweep["train"]["collectives"] == {}
    for arguments, said in (
        (("--devices", "v5:2x2"), "is unknown; did you mean"),
        ((), "--devices names none"),
        (("--devices", "cpu:3"), "batch_size=64 does not divide over 3 devices; nearest: 63, 66"),
        (("--devices", "cpu:1", "--config.dataset.name=beans"), "sizes of beans are not known"),
    ):
        done = run_module("plan", *config, *arguments, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["v5e:2x2", "h100:1"])
def test_accelerators_compilers_take_it(name, tmp_path):
    module = {"v5e:2x2": "libtpu", "h100:1": "jax_cuda13_plugin"}[name]
    pytest.importorskip(module, reason="its compiler is not installed")
    config = "--config", ROOT / "configs/basic_net.py", "--config.log_every_steps=10"
    done = run_module("plan", *config, "--devices", name, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    count = {"v5e:2x2": 4, "h100:1": 1}[name]
    assert result["device_count"] == count
    sent = sum(each["bytes"] for each in result["train"]["collectives"].values())
    assert result["formula_bytes"] == (4 * 62_006 + 8 if count > 1 else 0)
    # Beside the gradient the formula has two numbers, of which v5e's compiler sends one.
    assert result["formula_bytes"] - sent == (4 if count > 1 else 0)
    assert 0 < result["memory"]["share"] < 0.1 and result["train"]["host_operations"] == 0
    assert jax.default_backend() == "cpu"
