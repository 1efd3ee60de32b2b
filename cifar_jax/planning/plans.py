"""What a training asks of devices: memory, what is sent, operations, time; read from its compiled programs."""

import re

import numpy as np

from cifar_jax import config as config_lib
from cifar_jax import models
from cifar_jax.errors import ConfigError
from cifar_jax.models import cost
from cifar_jax.planning import devices as devices_lib
from cifar_jax.planning import hlo, programs

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
BY_CYCLES = "the compiler's cycles"  # what a time is estimated by
# What makes a training smaller, in the order in which it costs least: field, value, in words.
SMALLER = (
    ("accumulate_steps", 2, "a part of the batch at a time, which batch norm then sees alone"),
    ("accumulate_steps", 2, "a smaller part of the batch at a time"),
    ("dtype", "bfloat16", "computed in bfloat16"),
    ("parallel.dataset", "sharded", "each device holds its share of the images"),
    ("dataset.residency", "stream", "the images stay on the host"),
)


class TooLarge(Exception):
    """The compiler found no room for a program; `used` and `there` are bytes, 0 where it said none."""

    def __init__(self, text):
        sizes = re.search(r"Used ([\d.]+)([MG]) of ([\d.]+)([MG])", text)
        scale = {"M": 2**20, "G": 2**30}
        self.used = float(sizes[1]) * scale[sizes[2]] if sizes else 0
        super().__init__(text)


def plan(job, devices, dropout_from_hyper=False, only_train=False):
    """Compile a job's programs for devices and read them: a JSON-able dict.

    Args:
        job: jobs.Job.
        devices: devices.Devices.
        dropout_from_hyper: of sweep.groups.Group.
        only_train: whether the evaluation is left out.
    Returns:
        dict: `devices`, `device_count`, `batch_size`, `batch_a_device`, `runs` (0 of one training), `train` and
        `evaluate` as of `read`, `memory`, `formula_bytes` (of docs/scaling.md; None where it says nothing), and
        `seconds` as of `time_of`.
    Raises:
        TooLarge: the compiler found no room.
        ConfigError, UserError: as of programs.compiled and devices.described.
    """
    there = devices_lib.described(devices)
    result = {
        "devices": devices.name,
        "device_count": len(there),
        "batch_size": job.config.batch_size,
        "batch_a_device": job.config.batch_size
        if job.runs
        else job.config.batch_size // len(there),
        "runs": len(job.runs),
    }
    try:
        for each in programs.compiled(job, there, dropout_from_hyper):
            result[each.name] = read(each, data_of(job, each.name, len(there)))
            # NVIDIA's compiler counts none, and of parts of a batch XLA counts one.
            if not result[each.name]["flops"] or job.config.accumulate_steps > 1:
                result[each.name]["flops"] = flops_of(job, each.name, len(there))
            if only_train:
                break
    except Exception as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        raise TooLarge(str(error)) from error
    result["memory"] = memory_of(job, devices, len(there), result)
    result["formula_bytes"] = formula_bytes(job, len(there))
    result["seconds"] = time_of(job, devices, result)
    return result


def data_of(job, name, count):
    """Return how many numbers of images a device holds for a program."""
    images = job.trained_on if name == "train" else job.test_count
    shares = count if job.config.parallel.dataset == "sharded" else 1
    return -(-images // shares) * int(np.prod(job.image_shape))


def read(compiled, data_size):
    """Read a programs.Compiled: a JSON-able dict of one call's memory a device, and of one step's doings.

    Args:
        compiled: programs.Compiled.
        data_size: of `data_of`; `data_copies` are the operations that make as many bytes.
    """
    text, memory = compiled.program.as_text(), compiled.program.memory_analysis()
    step = hlo.of_loop(text)
    counted = compiled.program.cost_analysis() or {}
    return {
        "steps": compiled.steps,
        "compile_seconds": round(compiled.seconds, 1),
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "collectives": step.collectives,
        "host_operations": step.host,
        "data_copies": hlo.copies(text, "u8", data_size),
        "launches": step.launches,
        "cycles": step.cycles,
        # XLA counts a loop's body once: the step.
        "flops": counted.get("flops", 0.0),
        "bytes_accessed": counted.get("bytes accessed", 0.0),
    }


def flops_of(job, name, count):
    """Count the operations of a step a device by the model's layers: two a multiply-add, thrice that for training."""
    adds = cost.multiply_adds(job.config.model.name, job.classes, job.image_shape)
    runs = -(-max(1, len(job.runs)) // count) if job.runs else 1 / count
    images = job.config.batch_size if name == "train" else job.config.eval_batch_size
    return 2.0 * adds * images * runs * (3 if name == "train" else 1)


def memory_of(job, devices, count, result):
    """Return bytes a device: {"data", "used", "there" (None of a CPU), "share"}.

    Used is most in a training step or in the evaluation of the test images, which come to all that is there already.
    """
    streamed = job.config.dataset.residency == "stream"
    image = int(np.prod(job.image_shape))
    image /= count if job.config.parallel.dataset == "sharded" else 1
    train, evaluate = result["train"], result.get("evaluate")
    resident = (
        train["argument_bytes"] + (job.count - job.trained_on) * image + best_bytes(job, count)
    )
    moment = train["temporary_bytes"] + train["output_bytes"]
    if evaluate:
        test = 0 if streamed else job.test_count * image
        moment = max(moment, test + evaluate["temporary_bytes"] + evaluate["output_bytes"])
    data = job.count * image
    if streamed:  # the programs that were compiled hold all images
        resident, data = resident - data, 0
    about = devices.about
    # Chips of some kinds are two devices each.
    there = about.memory * devices.count / count if about else None
    used = resident + moment
    return {
        "data": round(data),
        "used": round(used),
        "there": there,
        "share": used / there if there else None,
    }


def best_bytes(job, count):
    """Return the bytes a device of the best variables of a sweep's runs; 0 of one training, whose are on disk."""
    if not job.runs or job.trained_on == job.count:
        return 0
    return 4 * sum(_numbers(job)) * -(-len(job.runs) // count)


def formula_bytes(job, count):
    """Return the bytes that a step's collectives give by docs/scaling.md; None where it does not say."""
    config = job.config
    if job.runs or count == 1:
        return 0
    plain = config.parallel.batch_norm == "global" and config.accumulate_steps == 1
    if (
        not plain
        or config.parallel.dataset == "sharded"
        or config.augment.mixup_alpha
        or config.augment.cutmix_alpha
    ):
        return None
    return 4 * sum(_numbers(job)) + 8


def _numbers(job):
    """Return how many parameters and running statistics a model has."""
    shapes = models.shapes(job.config.model.name, job.classes)
    return [
        sum(int(np.prod(leaf.shape)) for leaf in _leaves(shapes.get(name, {})))
        for name in ("params", "batch_stats")
    ]


def _leaves(tree):
    return [
        leaf
        for each in tree.values()
        for leaf in (_leaves(each) if isinstance(each, dict) else [each])
    ]


def time_of(job, devices, result):
    """Estimate seconds: {"basis", "step", "communication" (of a step, part of it), "epoch", "total"}; None of a CPU.

    A step is the compiler's cycles by the device's clock, or else what its operations and its memory's traffic take at
    the device's peak rates, which no program reaches; what is sent comes on top, as if nothing overlapped.
    """
    about = devices.about
    if about is None:
        return None
    count, epochs = result["device_count"], job.config.total_epochs
    by_cycles = bool(about.clock and result["train"]["cycles"])
    share = devices.count / count  # of a chip that is two devices

    def seconds(program):
        if by_cycles:
            compute = (program["cycles"] or 0) / about.clock
        else:
            compute = max(
                program["flops"] / (share * about.flops),
                program["bytes_accessed"] / (share * about.bandwidth),
            )
        return compute, sending(devices, count, program["collectives"])

    compute, communication = seconds(result["train"])
    epoch = job.steps_per_epoch * (compute + communication)
    validated = job.count - job.trained_on
    if validated and "evaluate" in result:
        whole = sum(seconds(result["evaluate"])) * result["evaluate"]["steps"]
        epoch += whole * validated / job.test_count
    basis = BY_CYCLES if by_cycles else "the device's peak rates, a lower bound"
    return {
        "basis": basis,
        "step": compute + communication,
        "communication": communication,
        "epoch": epoch,
        "total": epoch * epochs,
    }


def sending(devices, count, collectives):
    """Return the seconds that a step's collectives take at the rate of the devices' links, as if nothing overlapped.

    By rings: an all-reduce of b bytes sends 2 (n - 1) / n b from each device, an exchange that gives b bytes half of
    it, a reduce-scatter that gives b bytes (n - 1) b. Cards of several machines send over the network between these.
    """
    about = devices.about
    between = about.network if devices.count > devices_lib.CARDS_A_MACHINE else None
    turns = (
        {"all-reduce": 2 / count, "reduce-scatter": 1, "collective-permute": 1 / (count - 1)}
        if count > 1
        else {}
    )
    sent = sum(
        (count - 1) * turns.get(kind, 1 / count) * each["bytes"]
        for kind, each in collectives.items()
    )
    return sent / (between or about.link * devices.count / count)


def fits(result):
    """Return whether a plan needs no more memory than a device has."""
    return result["memory"]["share"] is None or result["memory"]["share"] <= 1


def smaller(job, count):
    """Yield (changes, in words, Job) of trainings that need less and less memory: each has the changes before it.

    Those that contradict the config, or change nothing, are left out.
    """
    changes, config = {}, job.config
    for name, value, words in SMALLER:
        if job.runs and name.startswith(("parallel", "dataset")):
            continue  # the runs of a sweep share images
        if name == "parallel.dataset" and count == 1:
            continue
        old = config_lib.flatten(config)[name]
        value = old * value if name == "accumulate_steps" else value
        changed = config.copy_and_resolve_references()
        changed.update_from_flattened_dict({name: value})
        if name == "dataset.residency":
            changed.parallel.dataset = "replicated"
        try:
            changed = config_lib.check(changed)
        except ConfigError:
            continue
        if old != value:
            changes, config = changes | {name: value}, changed
            if name == "dataset.residency":
                changes.pop("parallel.dataset", None)
            yield dict(changes), words, job._replace(config=config)


def largest_batch(job, devices, say, dropout_from_hyper=False):
    """Find the largest batch that fits, to an eighth: by doubling, then halving the rest.

    Args:
        job, devices, dropout_from_hyper: of `plan`.
        say: is told of each try in a line.
    Returns:
        int; 0 where not even the smallest fits.
    """
    count = len(devices_lib.described(devices))
    unit = job.config.accumulate_steps * (1 if job.runs else count)

    def holds(batch):
        config = job.config.copy_and_resolve_references()
        config.batch_size = batch
        try:
            result = plan(job._replace(config=config), devices, dropout_from_hyper, only_train=True)
        except TooLarge:
            said = "no room, says the compiler"
        else:
            said = f"{result['memory']['used'] / 1e9:.2f} GB a device"
            if fits(result):
                say(f"{devices.name}: batch {batch:,}: {said}, fits")
                return True
        say(f"{devices.name}: batch {batch:,}: {said}, does not fit")
        return False

    low, high = 0, max(1, job.config.batch_size // unit)
    while high * unit <= job.trained_on and holds(high * unit):
        low, high = high, 2 * high
    high = min(high, job.trained_on // unit + 1)
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle * unit) else (low, middle)
    return low * unit
