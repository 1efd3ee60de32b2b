"""The machine that it runs on: devices, processes, compilation, files."""
