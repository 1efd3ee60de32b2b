#!/usr/bin/env bash
# What several devices send each other for two sums over a batch that they share, taken in one reduction or in two.
#
# jax 0.12.0.1 on eight virtual CPU devices. An array [1024, 64] is shared out by its rows; the sums of its numbers and
# of their squares over the rows, as batch norm takes them: two jnp.sum, or one lax.reduce of both operands at once,
# which reads the array once and on a GPU compiles to fewer kernels.
#
# A good guess: the two are the same to the partitioner. Each device adds up its rows, and one all-reduce of 2 x 64
# numbers adds up the devices' sums, whatever the number of devices; one reduction should be the cheaper form.
# Seen on 2026-11-30: the two sums are one all-reduce of 2 x 64 numbers. The one reduction is two all-gathers, [8, 64]
# each, of which every device then adds up all rows: what arrives grows with the number of devices, and the two are not
# joined. The partitioner knows an all-reduce for a reduction of one operand only. So what is right on one device is
# what does not scale on many.
#
#     PYTHON=python3.13 bash findings/two_sums_in_one_reduction_over_devices.sh      # any Python from 3.12 on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.12.0.1" "jaxlib==0.12.0.1"
cat >"$folder/seen.py" <<'PROGRAM'
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

jax.config.update("jax_num_cpu_devices", 8)
mesh = Mesh(np.array(jax.devices()), ("devices",))
rows = NamedSharding(mesh, PartitionSpec("devices"))


def in_two(x):
    return jnp.sum(x, 0), jnp.sum(jnp.square(x), 0)


def in_one(x):
    def add(left, right):
        return left[0] + right[0], left[1] + right[1]

    zero = jnp.float32(0)
    return jax.lax.reduce((x, jnp.square(x)), (zero, zero), add, (0,))


def sent(sums):
    x = jax.ShapeDtypeStruct((1024, 64), jnp.float32, sharding=rows)
    text = jax.jit(sums).lower(x).compile().as_text()
    found = re.findall(r"= (.*?) (all-\w+)(?:-start)?\(", text)
    return [(kind, re.findall(r"f32\[[\d,]*\]", result)) for result, kind in found]


x = jax.device_put(np.random.default_rng(0).normal(size=(1024, 64)).astype("float32"), rows)
for one, two in zip(jax.jit(in_one)(x), jax.jit(in_two)(x)):
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)
seen = {"in two": sent(in_two), "in one": sent(in_one)}
print(seen)
gathered = ("all-gather", ["f32[8,64]"])
assert seen == {
    "in two": [("all-reduce", ["f32[64]", "f32[64]"])],
    "in one": [gathered, gathered],
}, seen
PROGRAM
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/seen.py"
