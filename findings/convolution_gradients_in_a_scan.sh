#!/usr/bin/env bash
# The gradients that jax 0.12.0.1 makes of a convolution take tens of times as long inside lax.scan as outside, on a CPU.
#
# A good guess: a scan's body is compiled like any program, so a step takes in it what it takes by itself, or less, as
# nothing is dispatched. Seen on 2026-11-29 (Python 3.13, jax 0.12.0.1, two cores of an AMD EPYC; 16 images of 16x16 with
# 32 channels, 3x3; least of 5): both gradients of autodiff 3.5 ms outside, 73 in a scan, 21 times as long; the forward
# convolution 0.76 and 0.89, the plain gradients below 3.8 and 3.5. Autodiff's gradients are convolutions with a reversed
# window, or of permuted dimensions, which XLA seems to leave to a plain routine in a loop. The same gradients as
# convolutions of a kernel that was flipped, and of arrays that were transposed, before (equal to rounding) take in a scan
# what they take outside, and so does the forward convolution.
#
#     PYTHON=python3.13 bash findings/convolution_gradients_in_a_scan.sh      # any Python from 3.12 on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1
cd "$folder"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PROGRAM'
import time

import jax
import jax.numpy as jnp
import numpy as np

STEPS = 10
random = np.random.default_rng(0)
IMAGES = jnp.asarray(random.normal(size=(16, 16, 16, 32)), jnp.float32)
KERNEL = jnp.asarray(random.normal(size=(3, 3, 32, 32)) / 17, jnp.float32)


def convolve(images, kernel, padding=((1, 1), (1, 1))):
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def by_autodiff(images):
    _, backward = jax.vjp(convolve, images, KERNEL)
    return backward(images)


def plainly(images):
    swapped = convolve(images.transpose(3, 1, 2, 0), images.transpose(1, 2, 0, 3))
    return convolve(images, KERNEL[::-1, ::-1].swapaxes(2, 3)), swapped.transpose(1, 2, 0, 3)


def forward(images):
    return convolve(images, KERNEL), KERNEL


def step(gradients, images):
    """Images that depend on both gradients, so that a loop has to compute them again."""
    by_images, by_kernel = gradients(images)
    return images + 1e-6 * by_images + 1e-6 * by_kernel.mean()


def seconds(run):
    run().block_until_ready()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        run().block_until_ready()
        times.append(time.perf_counter() - started)
    return min(times) / STEPS


def in_scan_over_outside(gradients):
    """Seconds of a step in a scan over those of a step by itself."""
    alone = jax.jit(lambda images: step(gradients, images))
    scan = jax.jit(lambda images: jax.lax.scan(lambda x, _: (step(gradients, x), None), images, length=STEPS)[0])

    def loop():
        images = IMAGES
        for _ in range(STEPS):
            images = alone(images)
        return images

    inside, outside = seconds(lambda: scan(IMAGES)), seconds(loop)
    print(f"{gradients.__name__}: {1e3 * outside:.2f} ms a step outside, {1e3 * inside:.2f} in a scan")
    return inside / outside


for ours, theirs in zip(plainly(IMAGES), by_autodiff(IMAGES), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
ratios = {each.__name__: in_scan_over_outside(each) for each in (forward, by_autodiff, plainly)}
print(", ".join(f"{name} {ratio:.1f}" for name, ratio in ratios.items()))
assert ratios["by_autodiff"] > 10 and max(ratios["forward"], ratios["plainly"]) < 3, "this has changed"
print(f"as found: jax {jax.__version__}")
PROGRAM
