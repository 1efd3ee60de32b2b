"""The layers' mathematics in formulations for a CPU, beside XLA's own operations; `choice` takes one."""
