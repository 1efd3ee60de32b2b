#!/usr/bin/env bash
# With jax 0.12.0.1 on a CPU a convolution with a large window takes ten times the processor's time that it takes without
# the library which XLA gives it to by default, and asking for its sum alone brings that library back.
#
# The case is what a 3x3 convolution's gradient by its kernel is as a plain convolution: [64, 32, 32, 128] and a window of
# 32 x 32, 128 channels in and 64 out, padded by 1, result [64, 3, 3, 64]. A good guess: the default is the fastest way or
# near it, an option that names no convolution changes little, and a sum after it costs nothing. Seen on 2026-11-29
# (Python 3.13, jax 0.12.0.1, two cores of an AMD EPYC, least of 3, milliseconds of CPU time): 1702 by default; 146 where
# xla_cpu_experimental_ynn_fusion_type leaves convolutions out (INDIVIDUAL_DOT and REDUCE); but 1590 for the sum of the
# very same convolution under that option, since XLA fuses both into one call of the library; 141 with INDIVIDUAL_DOT
# alone. For a usual 3x3 window nothing of this is seen (141 to 192 in every form). jax 0.10.2 does the same.
#
#     PYTHON=python3.13 bash findings/convolution_of_a_large_window_on_the_cpu.sh      # any Python from 3.12 on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PROGRAM'
import time

import jax

OPTION = "xla_cpu_experimental_ynn_fusion_type"
DOT, REDUCE = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT", "LIBRARY_FUSION_TYPE_REDUCE"
WAYS = {"default": {}, "dot and reduce": {OPTION: f"{DOT},{REDUCE}"}, "dot": {OPTION: DOT}}
x = jax.random.normal(jax.random.key(0), (64, 32, 32, 128))
window = jax.random.normal(jax.random.key(1), (32, 32, 128, 64))


def convolve(x, window):
    padding, order = ((1, 1), (1, 1)), ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, window, (1, 1), padding, dimension_numbers=order)


def summed(x, window):
    return convolve(x, window).sum()


def cpu_seconds(function, options):
    run = jax.jit(function, compiler_options=options)
    run(x, window).block_until_ready()
    times = []
    for _ in range(3):
        started = time.process_time()
        run(x, window).block_until_ready()
        times.append(time.process_time() - started)
    return min(times)


seen = {}
for way, options in WAYS.items():
    for function in (convolve, summed):
        seen[way, function.__name__] = cpu_seconds(function, options)
        print(f"{way}, {function.__name__}: {1e3 * seen[way, function.__name__]:.0f} ms of CPU time", flush=True)
quick = seen["dot and reduce", "convolve"]
assert seen["default", "convolve"] > 4 * quick, "the default has changed"
assert seen["dot and reduce", "summed"] > 4 * quick, "the sum has changed"
assert seen["dot", "summed"] < 3 * quick, "the sum without REDUCE has changed"
print(f"as found: jax {jax.__version__}")
PROGRAM
