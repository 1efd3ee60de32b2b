"""Compiles depthwise_kernel.py with its gradients for an H100 that is not here: pip install -e '.[plan-cuda]'.

    python benchmarks/kernel_plan.py

prints a line of JSON for each type and stride: the Pallas kernels with their grid, threads and shared memory a block,
as XLA launches them, and the registers of a thread, as NVIDIA's assembler says of XLA's code (null without it, where
the plugin alone is installed). A kernel whose registers spill ends the command: XLA is told to refuse it. Nothing runs.
"""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
SHAPE = 128, 32, 32, 64  # of images; blocks of resnet18_dw see such
LAUNCH = re.compile(
    r" (body\w*) grid: \[(\d+), (\d+), (\d+)\] threads: \[(\d+), .*shared_memory: (\d+) bytes"
)
REGISTERS = re.compile(r"Compiling entry function '(body\w*)'(?s:.*?)Used (\d+) registers")


def launches(dtype, stride, device, mesh):
    """The launches of a convolution's two gradients: [{"grid", "threads", "shared_memory", "registers"}]."""
    import depthwise_kernel
    import jax
    import jax.numpy as jnp

    def total(x, kernel):
        return depthwise_kernel.depthwise_conv(x, kernel, stride, 1).astype(jnp.float32).sum()

    here = jax.sharding.SingleDeviceSharding(device)
    arguments = (
        jax.ShapeDtypeStruct(shape, dtype, sharding=here) for shape in (SHAPE, (3, 3, 1, SHAPE[-1]))
    )
    with tempfile.TemporaryDirectory() as folder, jax.sharding.use_abstract_mesh(mesh):
        lowered = jax.jit(jax.value_and_grad(total, (0, 1))).lower(*arguments)
        lowered.compile({"xla_dump_to": folder, "xla_dump_emitter_re": ".*"})
        (sequence,) = pathlib.Path(folder).glob("*.thunk_sequence.txt")
        found = LAUNCH.findall(sequence.read_text())
        files = pathlib.Path(folder).glob("*.ptx") if (ptxas := assembler()) else ()
        registers = dict(pair for file in files for pair in assembled(ptxas, file))
    return [
        {
            "grid": [*map(int, grid)],
            "threads": int(threads),
            "shared_memory": int(shared),
            "registers": registers.get(name),
        }
        for name, *grid, threads, shared in found
    ]


def assembler():
    """The path of ptxas, of the package nvidia-cuda-nvcc; None without it."""
    if not (nvidia := importlib.util.find_spec("nvidia")):
        return None
    found = (pathlib.Path(each, "cu13/bin/ptxas") for each in nvidia.submodule_search_locations)
    return next((each for each in found if each.exists()), None)


def assembled(ptxas, file):
    """[(kernel, registers of a thread)] of those of a file of PTX that are Pallas's."""
    command = [str(ptxas), "-v", "-arch=sm_90a", str(file), "-o", os.devnull]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [(name, int(n)) for name, n in REGISTERS.findall(done.stdout + done.stderr)]


def main():
    from cifar_jax import plan

    os.environ.update(plan.ENVIRONMENT)
    os.environ["XLA_FLAGS"] = "--xla_gpu_fail_ptx_compilation_on_register_spilling=true"
    from jax.sharding import AbstractDevice, AbstractMesh

    from cifar_jax.planning import devices

    (card,) = devices.parse("h100:1")
    (device,) = devices.described(card)
    kind = AbstractDevice(device.device_kind, 132, "cuda")
    mesh = AbstractMesh((1,), ("devices",), abstract_device=kind)
    for dtype in ("float32", "bfloat16"):
        for stride in (1, 2):
            found = launches(dtype, stride, device, mesh)
            print(json.dumps({"dtype": dtype, "stride": stride, "launches": found}), flush=True)


if __name__ == "__main__":
    main()
