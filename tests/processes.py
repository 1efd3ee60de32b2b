"""Several processes of the command line beside each other."""

# JAX keeps compiled programs of the first process only: the others compile anew each time, so quickly.
QUICK_XLA = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def finish(processes, timeout=240):
    """Waits for processes; returns their exit codes, outputs and errors."""
    said = [process.communicate(timeout=timeout) for process in processes]
    return [process.returncode for process in processes], *zip(*said, strict=True)
