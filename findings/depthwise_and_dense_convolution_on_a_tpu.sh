#!/usr/bin/env bash
# A depthwise convolution beside dense ones, as the TPU's compiler sees them.
#
# jax 0.12.0.1 with libtpu 0.0.50.1, compiled for a v5e without a device. 3x3, stride 1, bfloat16, 32 images of 32x32 with 64
# channels; the images, and what is made of them, also as [32, 32, 16, 128], two neighbouring pixels of a row as one of 128
# channels, for which a dense kernel [3, 3, 128, 128] says the same (it holds each tap where its two pixels meet).
#
# A good guess: the depthwise one has a 64th of the dense one's multiplications, so it is the cheaper one, bound by its memory
# traffic; and how an array is folded changes nothing in either.
# Seen on 2026-11-30, in the cycles that the compiler estimates for the convolution with its two ReLUs: depthwise 97,253, dense
# 91,468. The dense one is no dearer, although it could replace any depthwise one. Folded in pairs 54,827 and 54,120: 64
# channels fill half of a register's 128 lanes, so the folding halves both, and a dense kernel of pairs, 128 times the
# multiplications of the depthwise one, does its work in 0.56 of its cycles.
#
#     PYTHON=python3.13 bash findings/depthwise_and_dense_convolution_on_a_tpu.sh      # any Python from 3.12 on
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
IMAGES, PAIRS = (32, 32, 32, 64), (32, 32, 16, 128)


def cycles(images, kernel, groups=1):
    """Of the dearest operation, the convolution; relu before and after it is fused, as between two layers."""

    def program(x, kernel):
        y = jax.lax.conv_general_dilated(
            jax.nn.relu(x), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
        )
        return jax.nn.relu(y)

    arguments = (jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=here) for shape in (images, kernel))
    text = jax.jit(program).lower(*arguments).compile().as_text()
    convolutions = [line for line in text.splitlines() if "kind=kOutput" in line or " convolution(" in line]
    return max(int(n) for line in convolutions for n in re.findall(r'"estimated_cycles":"(\d+)"', line))


seen = {
    "depthwise, 64 channels": cycles(IMAGES, (3, 3, 1, 64), 64),
    "dense, 64 to 64": cycles(IMAGES, (3, 3, 64, 64)),
    "depthwise, 128 channels of half the pixels": cycles(PAIRS, (3, 3, 1, 128), 128),
    "dense, 128 to 128 of half the pixels": cycles(PAIRS, (3, 3, 128, 128)),
}
for name, each in seen.items():
    print(f"{name}: {each:,} estimated cycles")
depthwise, dense, depthwise_pairs, dense_pairs = seen.values()
assert dense < depthwise, "the depthwise one is the cheaper one"
assert dense_pairs < 0.65 * depthwise, "pairs of pixels save less"
assert depthwise_pairs < 0.65 * depthwise, "of pairs, too"
PROGRAM
"$folder/venv/bin/python" "$folder/seen.py" 2>/dev/null || { "$folder/venv/bin/python" "$folder/seen.py"; exit 1; }
