"""Which places of an image a trained model's decision rises with, by Grad-CAM:

  python -m cifar_jax.gradcam --workdir runs/resnet18                    the first images of the test split
  python -m cifar_jax.gradcam --workdir runs/resnet18 --images wrong     the first that it gets wrong
  python -m cifar_jax.gradcam --workdir runs/resnet18 --images cat.png dog.jpg
  python -m cifar_jax.gradcam --workdir runs/resnet18 --class cat        places that speak for a cat
  python -m cifar_jax.gradcam --workdir runs/resnet18 --list-layers

Writes gradcam.png and gradcam.svg: for each image the map of the layer, and the map over the image, as
shares of its greatest value; and gradcam.npz: `index` in the split (-1 of a file), `class` that is
explained, `maps` in units of its logit, `images`, `label` (-1 of a file), `predicted`, `confidence`, `source`, `layer`.
The prediction is the run's own evaluation, mirrored if the run mirrors; the map is the image's as it is.
"""

import dataclasses
import itertools
import pathlib
import sys

import numpy as np

from cifar_jax import command_line
from cifar_jax.errors import UserError

MOST = 60  # images in a figure
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Images to explain, with what the model says of them."""

    images: np.ndarray  # uint8 [N, H, W, 3]
    labels: np.ndarray  # int64 [N]; -1 of a file
    indices: np.ndarray  # int64 [N], in the split; -1 of a file
    sources: list[str]  # what a figure calls them
    logits: np.ndarray  # float32 [N, num_classes]


def choose_files(run, paths):
    """The pictures of files.

    Raises:
        UserError: a file that can't be read as a picture.
    """
    from cifar_jax import trained
    from cifar_jax.data import image_files

    images = np.stack([image_files.read(path) for path in paths])
    none = np.full(len(paths), -1, np.int64)
    sources = [pathlib.Path(path).name for path in paths]
    return Chosen(images, none, none, sources, trained.logits(run, images, BATCH))


def choose_from_split(run, split, which, count):
    """The first images of a split that are classified as wanted.

    Args:
        run: trained.Trained.
        split: "train", "validation" or "test".
        which: "correct", "wrong", or None for both.
        count: how many, at most.
    Raises:
        UserError: no such split, or no such image in it.
    """
    from cifar_jax import trained

    images, labels, indices = trained.split(run, split)
    size = min(BATCH if which is None else run.recipe.eval_batch_size, len(images))
    found, logits = np.zeros(0, np.int64), np.zeros((0, run.recipe.num_classes), np.float32)
    for start in range(0, len(images), size):
        part = trained.logits(run, images[start : start + size], size)
        correct = part.argmax(1) == labels[start : start + size]
        wanted = np.flatnonzero(
            {"correct": correct, "wrong": ~correct, None: correct | True}[which]
        )
        found, logits = np.append(found, start + wanted), np.concatenate([logits, part[wanted]])
        if len(found) >= count:
            break
    if not len(found):
        raise UserError(f"the model gets no image of the split {split} {which}")
    found, logits = found[:count], logits[:count]
    numbers = np.asarray(indices)[found]
    sources = [f"{split} {number}" for number in numbers]
    return Chosen(
        np.asarray(images[found]), labels[found].astype(np.int64), numbers, sources, logits
    )


def maps_of(run, images, classes, layer):
    """gradcam.maps in batches of one size, float32 [N, h, w], NumPy.

    Args:
        run: trained.Trained.
        images: uint8 [N, H, W, 3].
        classes: int [N].
        layer: name.
    """
    import jax

    from cifar_jax import batches
    from cifar_jax.analysis import gradcam

    variables = jax.device_put(run.variables)

    def step(images, classes):
        inputs = run.recipe.normalize(images)
        return gradcam.maps(run.recipe.model, variables, inputs, classes, layer)

    return batches.apply(step, min(BATCH, len(images)), images, classes)


def class_number(run, name):
    """The number of a class, given by its name or its number.

    Raises:
        UserError: there is none; the nearest name is given.
    """
    from cifar_jax import config

    names = [str(each) for each in run.dataset.class_names]
    if name in names:
        return names.index(name)
    numbers = [str(each) for each in range(len(names))]
    if name in numbers:
        return numbers.index(name)
    raise UserError(f"{run.dataset.name} has no class {name!r}; {config.nearest(name, names)}")


def table_of_layers(run):
    """The lines of --list-layers: each layer's name, the size of what it gives, and what is to be said of it."""
    from cifar_jax.analysis import gradcam, named_layers

    model, shape = run.recipe.model, (1, *_image_shape(run))
    shapes = named_layers.layers(model, run.variables, shape)
    remarks = {layer: alias for alias, layer in named_layers.aliases(model).items()}
    default = gradcam.default_layer(shapes)
    remarks[default] = ", ".join(filter(None, (remarks.get(default), "the default")))
    width = max(map(len, shapes))
    for name, shape in shapes.items():
        size = " x ".join(map(str, shape[1:]))
        yield f"{name:{width}}  {size:15}  {remarks.get(name, '')}".rstrip()


def explain(run, chosen, layer, explained, folder):
    """Writes the figure and the arrays.

    Args:
        run: trained.Trained.
        chosen: Chosen.
        layer: name, a layer that gives maps.
        explained: number of the class whose logit is explained; None for each image's predicted one.
        folder: path, made if it is not there.
    Returns:
        list of paths.
    Raises:
        UserError: the folder can't be written.
    """
    from cifar_jax import weights
    from cifar_jax.analysis import gradcam, overlays, result, scores, style

    folder = result.open_folder(folder)  # said before maps are computed
    predicted = chosen.logits.argmax(1)
    confidence = scores.probabilities(chosen.logits).max(1).astype(np.float32)
    classes = predicted if explained is None else np.full_like(predicted, explained)
    maps = maps_of(run, chosen.images, classes, layer)
    arrays = {
        "index": chosen.indices,
        "class": classes,
        "maps": maps,
        "images": chosen.images,
        "label": chosen.labels,
        "predicted": predicted,
        "confidence": confidence,
        "source": np.array(chosen.sources),
        "layer": np.array(layer),
    }
    heat = np.asarray(gradcam.normalized(maps))
    large = np.asarray(gradcam.resized(heat, *chosen.images.shape[1:3]))
    names = [style.shortened(str(name), 1.1, 8) for name in run.dataset.class_names]
    titles = [
        _title(source, names[label] if label >= 0 else None, names[guess], sure)
        for source, label, guess, sure in zip(
            chosen.sources, chosen.labels, predicted, confidence, strict=True
        )
    ]
    whose = "the predicted class" if explained is None else f"the class {names[explained]}"
    height, width = maps.shape[1:]
    title = (
        f"Grad-CAM of {whose}: {run.config.model.name} at {layer}, {height} x {width}\n"
        "image, map, map over the image"
    )
    examples = itertools.starmap(
        overlays.Example, zip(chosen.images, heat, large, titles, strict=True)
    )
    figure = overlays.draw(list(examples), title)
    paths = style.save(figure, folder, "gradcam")
    weights.write(folder / "gradcam.npz", arrays)
    return [*paths, folder / "gradcam.npz"]


def _image_shape(run):
    from cifar_jax import models

    return models.lookup(run.config.model.name).input_shape


def _title(source, label, predicted, confidence):
    """What a figure says of an image, in two lines where one would reach into the neighbour's."""
    from cifar_jax.analysis import style

    parts = [style.shortened(source, 1.8, 8)]
    parts += [f"true: {label}"] if label else []
    said = f"predicted: {predicted}, {100 * confidence:.0f} %"
    line = "   ".join([*parts, said])
    return line if style.width(line, 8) <= 3.5 else "   ".join(parts) + "\n" + said


def _parse(argv):
    parser = command_line.make_parser("gradcam", __doc__)
    command_line.add_run_arguments(parser, *command_line.RUN_ARGUMENTS)
    parser.add_argument(
        "--class",
        dest="explained",
        metavar="NAME",
        help="whose logit is explained (default: the predicted class)",
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="whose maps (default: the last that gives any)"
    )
    parser.add_argument(
        "--list-layers", "--list_layers", action="store_true", help="prints the layers; no figure"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="IMAGE",
        help="correct or wrong, the first of the split that are, or files (default: the first of the split)",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=12,
        metavar="N",
        help=f"images of the split, 1 to {MOST} (default: 12)",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="for the results (default: WORKDIR/gradcam)"
    )
    return parser.parse_args(argv)


def _run(arguments):
    """What a command line asks for; yields the lines to print."""
    words = arguments.images in (["correct"], ["wrong"])
    files = arguments.images if arguments.images and not words else []
    if not 1 <= arguments.count <= MOST:
        raise UserError(f"--count is 1 to {MOST}, not {arguments.count}")
    if len(files) > MOST:
        raise UserError(f"{len(files)} files are too many for a figure; give at most {MOST}")

    from cifar_jax import trained
    from cifar_jax.analysis import gradcam

    # Pictures of one's own and a model's layers need no data set.
    open_it = trained.open_model if files or arguments.list_layers else trained.open_run
    run = open_it(arguments.workdir, arguments.checkpoint, arguments.data_dir)
    if arguments.list_layers:
        yield from table_of_layers(run)
        return
    shape = (1, *_image_shape(run))
    layer = gradcam.choose_layer(run.recipe.model, run.variables, shape, arguments.layer)
    named = arguments.explained
    explained = None if named is None else class_number(run, named)
    if files:
        chosen = choose_files(run, files)
    else:
        which = arguments.images[0] if words else None
        chosen = choose_from_split(run, arguments.split, which, arguments.count)
    yield f"{run.workdir}, {run.checkpoint} (step {run.step:,}), images: {len(chosen.images)}, layer: {layer}"
    folder = arguments.out or run.workdir / "gradcam"
    for path in explain(run, chosen, layer, explained, folder):
        yield str(path)


@command_line.guarded
def main(argv=None):
    """Runs a command line and returns its exit code."""
    for line in _run(_parse(argv)):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
