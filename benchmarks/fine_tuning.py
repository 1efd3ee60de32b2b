"""Fine-tuning beside training from scratch, on few pictures of one's own.

    python benchmarks/fine_tuning.py --seeds 3

A model learns the embedded digits. The task is then a folder of the digits turned by 90 degrees: so many of them are
trained on from scratch, from the upright digits' weights, and with a frozen backbone, and the 359 turned test images
(which none has seen) are classified by the last weights. Test images of the upright digits are the same digits, and no
weights come from them. Appends to benchmarks/results/fine_tuning.jsonl.
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
            **{"model.name": model, "total_epochs": epochs, "seed": seed, "batch_size": 32},
            **{"optimizer.name": "adam", "optimizer.learning_rate": 0.002},
            **{"schedule.name": "cosine", "selection": "last", "tensorboard": False},
            **{"dataset.validation_fraction": 0.0, "dataset.name": "digits"},
            **changes,
        }
    )
    return config


def write_folder(root, count):
    """Write root/train/CLASS and root/test/CLASS: the first `count` training digits, and all test digits, turned."""
    import numpy as np
    from PIL import Image

    from cifar_jax import data

    digits = data.load("digits")
    for split, most in (("train", count), ("test", None)):
        images, labels = digits.split(split)
        for number, (image, label) in enumerate(zip(images[:most], labels[:most], strict=True)):
            file = root / split / f"digit {label}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rot90(image)).save(file)


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
    parser.add_argument("--model", default="gap_net")
    parser.add_argument("--counts", default="100,250,500,1000,1438", help="training images")
    parser.add_argument("--steps", type=int, default=600, help="of each training, about")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    from cifar_jax.machine import runtime
    from cifar_jax.models import to_torch, weight_files
    from cifar_jax.trained import open_model

    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        source = temporary / "upright.safetensors"
        epochs = max(1, options.steps * 32 // 1438)
        before, _ = trained(config_of(options.model, epochs, 0), temporary / "upright")
        upright = open_model(temporary / "upright", "last")
        weight_files.write(source, to_torch(upright.config.model.name, upright.variables))
        print(f"{options.model} on the upright digits: {before:.2%}", flush=True)
        for count in map(int, options.counts.split(",")):
            folder = temporary / f"turned {count}"
            write_folder(folder, count)
            for way, changes in WAYS.items():
                changes = {k: str(source) if v is True else v for k, v in changes.items()}
                changes |= {"dataset.name": "folder", "dataset.path": str(folder)}
                changes |= {"dataset.data_dir": str(temporary / "data")}
                outcomes = [
                    trained(
                        config_of(
                            options.model, max(1, options.steps * 32 // count), seed, **changes
                        ),
                        temporary / f"{count} {way} {seed}",
                    )
                    for seed in range(options.seeds)
                ]
                accuracies = [each[0] for each in outcomes]
                row = {
                    **{"model": options.model, "images": count, "way": way},
                    "accuracies": accuracies,
                    "mean": statistics.mean(accuracies),
                    "train_seconds": [round(each[1], 1) for each in outcomes],
                    "hardware": runtime.hardware(),
                }
                print(json.dumps(row), flush=True)
                records.append(RESULTS, row)


if __name__ == "__main__":
    main()
