"""configs/speedrun.py, run after run, each as one compiled program: accuracy and seconds; airbench's script beside it.

    python benchmarks/speedrun.py --data_dir ~/tensorflow_datasets --runs 20
    python benchmarks/speedrun.py --data_dir ~/tensorflow_datasets --runs 20 --airbench airbench94_muon.py

The timer runs from the first training step (the whitening before it included) to the last prediction on the test set,
with the test's views that the config asks for. What comes before is not in it: compilation, which is stated, reading
the data, bringing it to the device, drawing the initial parameters. Each run has a seed of its own, from 0.

--airbench is a copy of the author's script (https://github.com/KellerJordan/cifar10-airbench), which is run in a
process of its own with the same images and as many runs; it needs PyTorch with CUDA. Its timer has the same bounds, but
for the evaluations after each epoch, which it leaves out and does all the same.

Appends to benchmarks/results/speedrun.jsonl.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import records

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "speedrun.jsonl"
RUNS = "range(200)"  # what says in airbench's script how many there are
# That script asks torchvision for the data, which is there, and for one function.
TORCHVISION = {
    "__init__.py": "",
    "transforms.py": (
        "import torch\n"
        "class Normalize:\n"
        "    def __init__(self, mean, std): self.mean, self.std = mean, std\n"
        "    def __call__(self, images):\n"
        "        mean, std = (torch.tensor(x, dtype=images.dtype, device=images.device).view(-1, 1, 1)"
        " for x in (self.mean, self.std))\n"
        "        return (images - mean) / std\n"
    ),
}


def ours(config, dataset, runs):
    """{"seconds": [...], "accuracies": [...], "compile_seconds": s} of so many seeds."""
    import jax
    import whole_run

    from cifar_jax.machine import compilation
    from cifar_jax.train.setup import build, initial_state

    config = config.copy_and_resolve_references()
    setup = build(config, dataset)
    test = setup.put(*dataset.split("test"))
    began = time.perf_counter()
    program = compilation.jit(whole_run.train_and_test(setup), donate_argnums=0)
    program = program.lower(initial_state(setup), setup.train, test).compile()
    results = {"seconds": [], "accuracies": [], "compile_seconds": time.perf_counter() - began}
    for seed in range(-1, runs):  # the first one warms up
        config.seed = max(seed, 0)
        start = jax.block_until_ready(initial_state(setup))
        began = time.perf_counter()
        confusion = np.asarray(program(start, setup.train, test).tested.confusion)
        seconds = time.perf_counter() - began
        if seed >= 0:
            results["seconds"].append(seconds)
            results["accuracies"].append(float(np.trace(confusion) / confusion.sum()))
    return results


def airbench(script, dataset, runs):
    """The same of the author's script."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "cifar10").mkdir()
        for split in ("train", "test"):
            images, labels = (torch.from_numpy(np.array(x)) for x in dataset.split(split))
            content = {"images": images, "labels": labels.long(), "classes": dataset.class_names}
            torch.save(content, folder / f"cifar10/{split}.pt")
        try:
            import torchvision  # noqa: F401
        except ImportError:
            (folder / "torchvision").mkdir()
            for name, text in TORCHVISION.items():
                (folder / "torchvision" / name).write_text(text)
        (folder / "script.py").write_text(script.read_text().replace(RUNS, f"range({runs})"))
        done = subprocess.run(
            [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(f"error: {script} failed; ours is recorded\n{done.stderr}")
    rows = airbench_rows(done.stdout)[1:]  # the first one warms up
    return {"seconds": [row[1] for row in rows], "accuracies": [row[0] for row in rows]}


def airbench_rows(printed):
    """[(accuracy with the test's views, seconds)] of each run, from what the script prints."""
    matches = re.findall(r"\|\s+eval\s+\|.*\|\s+(\d\.\d+)\s+\|\s+(\d+\.\d+)\s+\|", printed)
    return [(float(accuracy), float(seconds)) for accuracy, seconds in matches]


def in_words(name, results):
    from cifar_jax.analysis import statistics as intervals

    accuracies = intervals.estimate([100 * each for each in results["accuracies"]])
    seconds = results["seconds"]
    spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
    compiled = (
        f"; compiled in {results['compile_seconds']:.1f} s" if "compile_seconds" in results else ""
    )
    return (
        f"{name}: accuracy {accuracies.mean:.2f} % [{accuracies.low:.2f}, {accuracies.high:.2f}], n = {len(seconds)}; "
        f"{statistics.median(seconds):.3f} s ({spread}){compiled}"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", default=str(ROOT / "configs/speedrun.py"))
    parser.add_argument("--data_dir", default="", help="folder with the prepared set")
    parser.add_argument("--data_name", default="CIFAR-10", help="what the data is called")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--airbench", type=pathlib.Path, help="the author's airbench94_muon.py")
    options = parser.parse_args()
    if options.runs < 2:
        parser.error("--runs is at least 2, for an interval")
    if options.airbench and not options.airbench.is_file():
        parser.error(f"--airbench: there is no file {options.airbench}")
    if options.airbench and options.airbench.read_text().count(RUNS) != 1:
        parser.error(f"--airbench: {options.airbench} has no `{RUNS}`; take airbench94_muon.py")

    from cifar_jax import config as config_lib
    from cifar_jax import data
    from cifar_jax.errors import UserError

    try:
        config = config_lib.load(options.config)
        config.dataset.data_dir = options.data_dir or config.dataset.data_dir
        config = config_lib.check(config)
        dataset = data.load(config.dataset.name, config.dataset.data_dir, config.dataset.archive)
        results = ours(config, dataset, options.runs)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    record("ours", results, config, dataset, options)
    if options.airbench:
        results = airbench(options.airbench, dataset, options.runs)
        record("airbench", results, config, dataset, options)


def record(name, results, config, dataset, options):
    """Prints what a side found and appends it to the results, so that the other one can't lose it."""
    print(in_words(name, results), flush=True)
    result = {
        "side": name,
        **records.about(),
        "data": options.data_name,
        "dataset_fingerprint": dataset.fingerprint,
        "config": config.to_dict(),  # its seed is the first one
        **results,
    }
    records.append(RESULTS, result)


if __name__ == "__main__":
    main()
