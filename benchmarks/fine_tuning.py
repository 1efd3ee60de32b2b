"""Fine-tuning beside training from scratch, on few pictures of one's own.

    python benchmarks/fine_tuning.py --data_dir ~/tensorflow_datasets --seeds 3

A model learns six classes of CIFAR-10. The task is then a folder with pictures of the other four (NEW): so many of
them are trained on from scratch, from the six classes' weights, and with a frozen backbone, for about the same number
of steps, and the 4,000 test images of the four are classified by the last weights. Appends to
benchmarks/results/fine_tuning.jsonl.
"""

import argparse
import io
import json
import pathlib
import statistics
import sys
import tempfile

import records

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = pathlib.Path(__file__).parent / "results" / "fine_tuning.jsonl"
sys.path.insert(0, str(ROOT))
NEW = "bird", "cat", "horse", "truck"
BATCH, MOST_EPOCHS = 64, 100
WAYS = {
    "from scratch": {},
    "fine-tuned": {"model.weights": True},
    "frozen backbone": {"model.weights": True, "model.freeze": "backbone"},
}


def config_of(model, epochs, seed, **changes):
    from cifar_jax import config as config_lib

    config = config_lib.default()
    config.update_from_flattened_dict(
        {
            **{"model.name": model, "total_epochs": epochs, "seed": seed, "batch_size": BATCH},
            **{"optimizer.name": "adam", "optimizer.learning_rate": 0.002},
            **{"schedule.name": "cosine", "selection": "last", "tensorboard": False},
            **{"augment.crop_padding": 2, "augment.flip": True},
            **{"dataset.validation_fraction": 0.0, "dataset.name": "folder"},
            "checkpoint.every_epochs": epochs,
            **changes,
        }
    )
    return config


def write_folder(root, dataset, classes, count):
    """Write root/train/CLASS, the first `count` training images of these classes, and root/test/CLASS, all of them."""
    import numpy as np
    from PIL import Image

    for split, most in (("train", count), ("test", None)):
        images, labels = dataset.split(split)
        names = np.array(dataset.class_names)[labels]
        for number in np.flatnonzero(np.isin(names, classes))[:most]:
            file = root / split / names[number] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number]).save(file)


def trained(config, folder):
    """The share of test images that a training gets right, and its seconds in steps."""
    from rich.console import Console

    from cifar_jax import train

    summary = train.train_and_evaluate(config, folder, Console(file=io.StringIO()))
    return summary["test_accuracy"], summary["train_seconds"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir", default="", help="folder with the prepared cifar10")
    parser.add_argument("--model", default="gap_net")
    parser.add_argument("--counts", default="500,2000,8000", help="training images")
    parser.add_argument("--steps", type=int, default=1000, help="of each training, at most")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    from cifar_jax import data
    from cifar_jax.machine import runtime
    from cifar_jax.models import to_torch, weight_files
    from cifar_jax.trained import open_model

    cifar10 = data.load("cifar10", options.data_dir)
    six = [name for name in cifar10.class_names if name not in NEW]
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)

        def settings(folder, count, seed, steps, **changes):
            """A training of so many steps on so many images of a folder."""
            changes |= {"dataset.path": str(folder), "dataset.data_dir": str(temporary / "data")}
            epochs = min(MOST_EPOCHS, max(1, steps * BATCH // count))
            return config_of(options.model, epochs, seed, **changes)

        source = temporary / "six.safetensors"
        write_folder(temporary / "six", cifar10, six, None)
        first = settings(temporary / "six", 30_000, 0, 10 * options.steps)
        before, _ = trained(first, temporary / "six run")
        learnt = open_model(temporary / "six run", "last")
        weight_files.write(source, to_torch(learnt.config.model.name, learnt.variables))
        print(f"{options.model} on six classes: {before:.2%}", flush=True)
        for count in map(int, options.counts.split(",")):
            folder = temporary / f"four, {count}"
            write_folder(folder, cifar10, NEW, count)
            for way, changes in WAYS.items():
                changes = {k: str(source) if v is True else v for k, v in changes.items()}
                configs = [
                    settings(folder, count, seed, options.steps, **changes)
                    for seed in range(options.seeds)
                ]
                outcomes = [
                    trained(config, temporary / f"{count} {way} {config.seed}")
                    for config in configs
                ]
                accuracies = [each[0] for each in outcomes]
                row = {
                    **{"model": options.model, "images": count, "way": way},
                    "epochs": configs[0].total_epochs,
                    "accuracies": accuracies,
                    "mean": statistics.mean(accuracies),
                    "train_seconds": [round(each[1], 1) for each in outcomes],
                    "hardware": runtime.hardware(),
                }
                print(json.dumps(row), flush=True)
                records.append(RESULTS, row)


if __name__ == "__main__":
    main()
