#!/usr/bin/env bash
# Mean and variance of a convolution's output, as the TPU's compiler sees them.
#
# jax 0.12.0.1 with libtpu 0.0.50.1, compiled for a v5e without a device. A 1x1 convolution, 64 to 64 channels, of
# bfloat16 images [32, 32, 32, 64] is followed by the mean and the variance of each channel over the batch, in float32.
#
# A good guess: the variance, E[(y - mean)^2], needs the mean first, so it costs one more pass over y; mean and variance in
# one pass, by E[y] and E[y^2], save that pass, and where else these sums are written matters little.
# Seen on 2026-11-29, in the cycles that the compiler estimates: both sums of one pass become part of the convolution's own
# fusion, which grows by one per cent (70,092 for 69,324 with the mean alone), so there is no pass over y for them at all;
# the exact form's second one is an operation of its own of 59,717 cycles, and the program takes 192,664 in place of
# 131,893. Sums of differences from any vector that is known before, (y - near) and its square, are fused just so
# (132,151): the form that does not cancel where `near` is near costs what the plain one does.
#
#     PYTHON=python3.13 bash findings/statistics_of_a_convolution_on_a_tpu.sh      # any Python from 3.12 on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.12.0.1" "jaxlib==0.12.0.1" "libtpu==0.0.50.1"
cat >"$folder/seen.py" <<'PROGRAM'
import re

import jax
import jax.numpy as jnp
from jax.experimental import topologies

device = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices[0]
here = jax.sharding.SingleDeviceSharding(device)
AXES = (0, 1, 2)


def convolved(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


def exact(y, near):
    mean = jnp.mean(y, AXES)
    return mean, jnp.mean(jnp.square(y - mean), AXES)


def plain(y, near):
    mean = jnp.mean(y, AXES)
    return mean, jnp.mean(jnp.square(y), AXES) - jnp.square(mean)


def shifted(y, near):
    off = jnp.mean(y - near, AXES)
    return near + off, jnp.mean(jnp.square(y - near), AXES) - jnp.square(off)


def cycles(statistics):
    def program(x, kernel, near):
        y = convolved(x, kernel)
        return y, statistics(y.astype(jnp.float32), near)

    def of(shape, dtype):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=here)

    arguments = of((32, 32, 32, 64), jnp.bfloat16), of((1, 1, 64, 64), jnp.bfloat16), of((64,), jnp.float32)
    text = jax.jit(program).lower(*arguments).compile().as_text()
    return sorted((int(n) for n in re.findall(r'"estimated_cycles":"(\d+)"', text)), reverse=True)


seen = {each.__name__: cycles(each) for each in (exact, plain, shifted)}
for name, each in seen.items():
    print(f"{name}: {sum(each)} estimated cycles, the dearest operations {each[:3]}")
passes = {name: sum(n > 30_000 for n in each) for name, each in seen.items()}
assert passes == {"exact": 3, "plain": 2, "shifted": 2}, f"operations over all of y: {passes}"
for name in ("plain", "shifted"):
    assert sum(seen[name]) < 0.75 * sum(seen["exact"]), f"{name} saves less"
PROGRAM
"$folder/venv/bin/python" "$folder/seen.py" 2>/dev/null || { "$folder/venv/bin/python" "$folder/seen.py"; exit 1; }
