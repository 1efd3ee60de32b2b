"""Where a step's time goes: its dearest operations by XLA's profiler, each beside what the machine's roofs allow.

    python benchmarks/step_profile.py                                     # every report model
    python benchmarks/step_profile.py --models big_net:128 --top 15 --inference

Milliseconds are of a training step (of a batch's inference) on one core, which the process is bound to: the work that
an operation hands to other threads is in no profile. The roof is what takes longer, a convolution's or product's
operations by a matrix product's rate, or what it reads and writes by the rate of adding two large arrays; an operation
that chooses rows of a larger array, or finds its data in a cache, needs less. For Linux. Prints; keeps nothing.
"""

import argparse
import collections
import math
import os
import pathlib
import re
import sys
import tempfile
from typing import NamedTuple

import roof
import sides
from step_time import cases, environment

STEPS = 5
LINE = re.compile(r"(?:ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\((.*)")
SHAPE = re.compile(r"\b(\w+)\[([\d,]*)\]")
ONE_CORE = "--xla_cpu_multi_thread_eigen=false"
# What takes no time of its own: its parts do.
WHOLE = {"while", "call", "conditional"}


class Operation(NamedTuple):
    opcode: str
    where: str  # the layer and the primitive, of the metadata
    flops: float  # 0 of what is no convolution and no product
    bytes: int


def shapes(text):
    """[(type, dimensions)] that stand in a line's part."""
    return [
        (kind, [int(n) for n in size.split(",") if n])
        for kind, size in SHAPE.findall(re.sub(r"\{[^}]*\}", "", text))
    ]


def operations(text):
    """{name: Operation} of a compiled program's text."""
    from cifar_jax.planning import hlo

    parts = {
        part: [match for line in lines if (match := LINE.match(line))]
        for part, lines in hlo.computations(text).items()
    }
    results = {match[1]: shapes(match[2]) for part in parts.values() for match in part}

    def flops(match):
        """Of a convolution or product, or of those that a fusion calls."""
        name, _, opcode, rest = match.groups()
        left, right = (results.get(each) for each in (taken(rest) + ["", ""])[:2])
        if opcode == "convolution" and (labels := re.search(r"dim_labels=\w+_(\w+)->", rest)):
            kernel = right[0][1]
            return 2.0 * elements(results[name]) * math.prod(kernel) / kernel[labels[1].index("o")]
        if opcode == "dot" and (summed := re.search(r"lhs_contracting_dims=\{([\d,]+)\}", rest)):
            depth = math.prod(left[0][1][int(n)] for n in summed[1].split(","))
            return 2.0 * elements(results[name]) * depth
        if opcode == "fusion" and (called := re.search(r"calls=%?([\w.\-]+)", rest)):
            return sum(flops(each) for each in parts.get(called[1], ()))
        return 0.0

    def bytes_of(each):
        return sum(hlo.BYTES.get(kind, 0) * math.prod(sides) for kind, sides in each)

    found = {}
    for match in (match for part in parts.values() for match in part):
        name, _, opcode, rest = match.groups()
        arrays = [results[name], *(results.get(each, []) for each in taken(rest))]
        where = re.search(r'op_name="([^"]*)"', rest)
        found[name] = Operation(
            opcode, where[1] if where else "", flops(match), sum(map(bytes_of, arrays))
        )
    return found


def taken(rest):
    """The names of an operation's operands, of what stands after its opcode."""
    return re.findall(r"%([\w.\-]+)", rest.split("), ")[0])


def elements(result):
    return math.prod(result[0][1]) if result else 0


def nanoseconds(folder):
    """{name of an operation: nanoseconds of all threads} of a profile's folder."""
    import jax

    (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
    total = collections.Counter()
    for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                if "hlo_op" in stats:
                    total[stats["hlo_op"]] += event.duration_ns
    return total


def measured(model, batch_size, optimizer, inference):
    """[(milliseconds, Operation)] of a step, the dearest first."""
    import jax

    _, programs, state, data = sides.make_parts(model, batch_size, optimizer)
    if inference:
        few = data.replace(rows=data.rows[: sides.EVALUATED], labels=data.labels[: sides.EVALUATED])
        run, given, count = programs.evaluate, (state.variables, few), sides.EVALUATED / batch_size
        jax.block_until_ready(run(*given))
    else:
        order = programs.epoch_order(state.key, 0, sides.IMAGES)
        state, _ = programs.train_steps(state, data, order, 2)
        run, given, count = programs.train_steps, (state, data, order, STEPS), STEPS
    known = operations(run.lower(*given).compile().as_text())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(run(*given))
        times = nanoseconds(folder)
    return [
        (spent / count / 1e6, known[name])
        for name, spent in times.most_common()
        if name in known and known[name].opcode not in WHOLE
    ]


def layer(operation):
    """A short name of what an operation is part of: forward or backward, the layer, the primitive."""
    noise = r"jit\([^)]*\)/|while/|body/|closed_call/|custom_vjp_call/"
    return re.sub(noise, "", operation.where)[-70:]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default="all", help="name:batch,... or all")
    parser.add_argument("--inference", action="store_true", help="in place of training")
    parser.add_argument("--top", type=int, default=8, help="operations to show")
    options = parser.parse_args()
    if environment("ours") != os.environ:  # huge pages, which are chosen when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], environment("ours"))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), ONE_CORE])
    roofs = roof.measure()
    print(f"roofs: {roofs['matmul_gflops']:.0f} GFLOP/s, {roofs['bandwidth_gb_per_s']:.0f} GB/s")
    for (model, batch_size), optimizer in cases(options.models).items():
        rows = measured(model, batch_size, optimizer, options.inference)
        total = sum(ms for ms, _ in rows)
        products = [(ms, each) for ms, each in rows if each.flops]
        spent = sum(ms for ms, _ in products)
        rate = sum(each.flops for _, each in products) / 1e6 / max(spent, 1e-9)
        print(
            f"{model} at {batch_size}: {total:.2f} ms; convolutions and products {spent / total:.0%} at "
            f"{rate:.0f} GFLOP/s ({rate / roofs['matmul_gflops']:.0%} of the roof)",
            flush=True,
        )
        for ms, each in rows[: options.top]:
            by_traffic = each.bytes / roofs["bandwidth_gb_per_s"]
            least = max(each.flops / roofs["matmul_gflops"], by_traffic) / 1e6
            times = f"{ms:8.2f} ms  {ms / total:4.0%}  {ms / least:5.1f} of its roof's"
            print(f"  {times}  {each.opcode:12} {layer(each)}")


if __name__ == "__main__":
    main()
