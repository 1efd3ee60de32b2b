#!/usr/bin/env bash
# How many devices a TPU topology has that is described and not there.
#
# jax 0.12.0.1 with libtpu 0.0.50.1. Four chips of several kinds are described by their topology's name.
#
# A good guess: a device is a chip, as jax.devices() has it on v4 and v5p machines, where both cores of a chip are one
# device, so four chips are four devices; and what holds for v5p holds for v4, its predecessor of the same build.
# Seen on 2026-11-29: v5p, v6e and v5e have four, and v5p's say that they are two cores each. v4 has eight of one core,
# two at each place of the torus, and so has tpu7x: a batch that divides over four does not over these, a device has half
# of a chip's memory, and collectives within a chip look like any other.
#
#     PYTHON=python3.13 bash findings/devices_of_a_described_tpu.sh      # any Python from 3.12 on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.12.0.1" "jaxlib==0.12.0.1" "libtpu==0.0.50.1"
cat >"$folder/seen.py" <<'PROGRAM'
from jax.experimental import topologies

NAMES = "v4:2x2x1", "v5p:2x2x1", "tpu7x:2x2x1", "v6e:2x2", "v5e:2x2"
seen = {}
for name in NAMES:
    devices = topologies.get_topology_desc(platform="tpu", topology_name=name).devices
    places = {tuple(each.coords) for each in devices}
    seen[name] = len(devices), devices[0].num_cores
    print(f"{name}: {len(devices)} devices of {devices[0].num_cores} cores at {len(places)} places")
    assert len(places) == 4, f"{name} is no four chips"
counts = dict(zip(NAMES, ((8, 1), (4, 2), (8, 1), (4, 1), (4, 1))))
assert seen == counts, f"devices and cores: {seen}"
PROGRAM
export JAX_PLATFORMS=cpu TPU_WORKER_HOSTNAMES=localhost TPU_ACCELERATOR_TYPE=v5litepod-4
"$folder/venv/bin/python" "$folder/seen.py" 2>/dev/null || { "$folder/venv/bin/python" "$folder/seen.py"; exit 1; }
