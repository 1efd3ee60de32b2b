"""Processes of the command line, some beside each other, and what XLA is told there."""

# JAX keeps compiled programs of the first process only: the others compile anew each time, so quickly.
QUICK_XLA = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def devices(count):
    """The environment of a process with so many virtual devices."""
    return {"JAX_NUM_CPU_DEVICES": str(count)}


def finish(processes, timeout=240):
    """Waits for processes; returns their exit codes, outputs and errors."""
    said = [process.communicate(timeout=timeout) for process in processes]
    return [process.returncode for process in processes], *zip(*said, strict=True)
