#!/usr/bin/env bash
# In which type a gradient is added up over the chips, where parameters are float32 and the computation is bfloat16.
#
# jax 0.12.0.1 with libtpu 0.0.50.1, compiled for four chips of v5e without a device. A weight [256, 256] of float32 is
# cast to bfloat16 and multiplied with a batch that is shared out over the chips; the gradient of a mean over the batch.
#
# A good guess: the gradient is float32, as the parameter is, so each chip's part of it is float32 when the parts are
# added up, and bfloat16 ends where the cast's gradient, a cast back, is: an all-reduce of 256 KiB.
# Seen on 2026-11-30: the all-reduce is of bfloat16, 128 KiB, and the cast to float32 comes after it. The partitioner adds
# the all-reduce right behind the product that is summed over the batch, whose result is bfloat16. Written out by hand, in
# shard_map, as a sum of the gradient after its cast, it is float32. So of the same model half is sent, and the last bits
# of the sum over many chips are bfloat16's.
#
#     PYTHON=python3.13 bash findings/gradient_of_bfloat16_on_several_chips.sh      # any Python from 3.12 on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.12.0.1" "jaxlib==0.12.0.1" "libtpu==0.0.50.1"
cat >"$folder/seen.py" <<'PROGRAM'
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices
mesh = Mesh(np.array(devices), ("chips",))
whole, shares = PartitionSpec(), PartitionSpec("chips")


def loss(weight, batch):
    y = batch.astype(jnp.bfloat16) @ weight.astype(jnp.bfloat16)
    return jnp.mean(jnp.square(y.astype(jnp.float32)))


def by_hand(weight, batch):
    def part(weight, share):
        return jax.lax.pmean(jax.grad(loss)(weight, share), "chips")

    return jax.shard_map(
        part, mesh=mesh, in_specs=(whole, shares), out_specs=whole, check_vma=False
    )(weight, batch)


def sent(gradient):
    arguments = (
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))
        for shape, spec in (((256, 256), whole), ((512, 256), shares))
    )
    jitted = jax.jit(gradient, out_shardings=NamedSharding(mesh, whole))
    text = jitted.lower(*arguments).compile().as_text()
    return re.findall(r"= (\w+\[[\d,]*\])[^=]* all-reduce(?:-start)?\(", text)


seen = {"by the partitioner": sent(jax.grad(loss)), "by hand": sent(by_hand)}
print(seen)
assert seen == {"by the partitioner": ["bf16[256,256]"], "by hand": ["f32[256,256]"]}, seen
PROGRAM
export JAX_PLATFORMS=cpu TPU_WORKER_HOSTNAMES=localhost TPU_ACCELERATOR_TYPE=v5litepod-4
"$folder/venv/bin/python" "$folder/seen.py" 2>/dev/null || { "$folder/venv/bin/python" "$folder/seen.py"; exit 1; }
