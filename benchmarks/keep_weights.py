"""Puts the model of a run in the box: its weights in half precision and its card, into cifar_jax/pretrained.

    python benchmarks/keep_weights.py --workdir runs/resnet18_dw --name resnet18_dw --commit e6fac1a \
        --data_name "CIFAR-10 (JPEG-75 copy)"

Accuracy, confusions and energies are those of the weights as they are kept. The energy by which a picture is found
unlike the data set is that which 95 % of the run's validation images reach, or of every second test image where the
run had none; false alarms are counted among the (other) test images.
"""

import argparse
import dataclasses
import hashlib
import json
import pathlib

import numpy as np


def keep(workdir, name, commit, data_name, folder, data_dir=None, checkpoint=None):
    """Write NAME.safetensors and NAME.json to `folder`; return the card."""
    from cifar_jax import models, trained
    from cifar_jax.analysis import result
    from cifar_jax.models import weight_files
    from cifar_jax.trained import likeness

    run = trained.open_run(workdir, checkpoint, data_dir)
    arrays = models.to_torch(run.config.model.name, run.variables)
    half = {key: array.astype(np.float16) for key, array in arrays.items()}
    path = pathlib.Path(folder) / f"{name}.safetensors"
    weight_files.write(path, half)
    classes = len(run.dataset.class_names)
    run = dataclasses.replace(
        run, variables=weight_files.load(path, run.config.model.name, classes)
    )
    evaluation, predictions = result.evaluate(run, "test", trained.split(run, "test"), False)
    energies, held_out = likeness.energy(predictions["logits"]), "validation images"
    if run.config.dataset.validation_fraction:
        known = likeness.energy(trained.logits(run, trained.split(run, "validation")[0]))
    else:
        known, energies, held_out = energies[::2], energies[1::2], "every second test image"
    limit = dataclasses.replace(likeness.choose_limit(known, energies), held_out=held_out)
    names = run.dataset.class_names
    card = {
        "name": name,
        "data": data_name,
        "commit": commit,
        "seed": run.config.seed,
        "step": run.step,
        "checkpoint": run.checkpoint,
        "accuracy": 100 * evaluation["accuracy"],
        "interval": [100 * each for each in evaluation["accuracy_interval"]],
        "most_confused": [
            {
                "true": names[each["true"]],
                "predicted": names[each["predicted"]],
                "fraction": each["fraction"],
            }
            for each in evaluation["confused_pairs"][:5]
        ],
        "limit": dataclasses.asdict(limit),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "dataset": run.dataset.facts(),
        "dataset_fingerprint": run.dataset.fingerprint,
        "config": of_no_machine(run.config.to_dict()),
    }
    (pathlib.Path(folder) / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


def of_no_machine(config):
    """The config without the folders of the machine that trained."""
    config["dataset"] |= {"data_dir": "", "archive": "", "path": ""}
    config["model"]["weights"] = ""
    return config


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--commit", required=True, help="of the code that trained")
    parser.add_argument("--data_name", default="CIFAR-10", help="what the data is called")
    parser.add_argument("--data_dir", help="where the data set is now")
    parser.add_argument("--checkpoint")
    options = parser.parse_args()

    from cifar_jax.models import box

    given = options.commit, options.data_name, box.FOLDER
    keep(options.workdir, options.name, *given, options.data_dir, options.checkpoint)
    print(box.introduction(box.card(options.name)))


if __name__ == "__main__":
    main()
