"""The layers' mathematics in formulations for a CPU and a GPU, beside XLA's own operations; `choice` takes one."""
