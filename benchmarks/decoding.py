"""Seconds to decode a folder of JPEGs: ours, from the command to the cache, and Pillow alone on all cores.

    python benchmarks/decoding.py --count 100000
    python benchmarks/decoding.py --count 20000 --rounds 2

The pictures (256 x 256, quality 90, four noisy shapes, all different) are written first into four class folders, and
stay in the page cache. Ours is `data.load` of the folder: listing, SHA-256 of every file, division, decoding, and
writing arrays with their checksum. Pillow alone opens, decodes to RGB and resizes as ours does, in as many processes
as there are cores, and throws the images away; `--threads` takes as many threads instead. Each side runs in a process
of its own, in turn. Peak memory is that of the process beyond what it had before. Appends to results/decoding.jsonl.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import records

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "decoding.jsonl"
SIDE, SIZE, CLASSES = 256, 32, 4


def write_one(place):
    """A picture that no other equals: a coarse random image enlarged, with noise."""
    from PIL import Image

    folder, number = place
    random = np.random.default_rng(number)
    coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    noisy = large.astype(np.int16) + random.integers(-12, 13, large.shape, dtype=np.int16)
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    image.save(pathlib.Path(folder) / f"class {number % CLASSES}" / f"{number}.jpg", quality=90)


def write(folder, count):
    for number in range(CLASSES):
        (folder / f"class {number}").mkdir(parents=True)
    with multiprocessing.Pool() as pool:
        pool.map(write_one, [(str(folder), number) for number in range(count)], chunksize=256)


def alone(path):
    from PIL import Image

    with Image.open(path) as image:
        return int(
            np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)).sum()
        )


def work(side, folder):
    """{"seconds", "memory_mb"} of one side, in this process."""
    files = sorted(map(str, pathlib.Path(folder).rglob("*.jpg")))
    if side == "ours":
        from cifar_jax import data

        with tempfile.TemporaryDirectory() as home:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.perf_counter()
            dataset = data.load("folder", data_dir=home, path=folder, log=lambda line: None)
            assert sum(dataset.sizes.values()) == len(files)
            return facts(began, before)
    pools = {
        "processes": concurrent.futures.ProcessPoolExecutor,
        "threads": concurrent.futures.ThreadPoolExecutor,
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with pools[side](os.cpu_count()) as pool:
        options = {"chunksize": 64} if side == "processes" else {}
        sum(pool.map(alone, files, **options))
    return facts(began, before)


def facts(began, before):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": time.perf_counter() - began, "memory_mb": (peak - before) / 1024}


def in_process(side, folder):
    command = [sys.executable, __file__, "--worker", json.dumps([side, str(folder)])]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000, help="pictures")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each side")
    parser.add_argument("--threads", action="store_true", help="Pillow in threads")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(*json.loads(options.worker))))
        return
    peer = "threads" if options.threads else "processes"
    runs = {"ours": [], peer: []}
    with tempfile.TemporaryDirectory() as home:
        folder = pathlib.Path(home) / "pictures"
        write(folder, options.count)
        megabytes = sum(each.stat().st_size for each in folder.rglob("*.jpg")) / 1e6
        for _ in range(options.rounds):
            for side, each in runs.items():
                each.append(in_process(side, folder))
    speeds = {
        side: options.count / statistics.median(run["seconds"] for run in each)
        for side, each in runs.items()
    }
    memory = max(run["memory_mb"] for run in runs["ours"])
    print(
        f"{options.count:,} JPEGs of {SIDE} x {SIDE}, {megabytes:,.0f} MB: ours {speeds['ours']:,.0f} images/s, Pillow "
        f"in {os.cpu_count()} {peer} {speeds[peer]:,.0f}; {speeds['ours'] / speeds[peer]:.2f} of its speed\n"
        f"memory: {memory:,.0f} MB beyond the start; the arrays are {options.count * SIZE * SIZE * 3 / 1e6:,.0f} MB"
    )
    records.append(RESULTS, records.about() | {"count": options.count, "runs": runs})


if __name__ == "__main__":
    main()
