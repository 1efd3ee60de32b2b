"""Grad-CAM of images of a split, or of one's own: chosen, explained, drawn and kept."""

import dataclasses
import itertools
import pathlib

import jax
import numpy as np

from cifar_jax import trained
from cifar_jax.analysis import gradcam, named_layers, overlays, result, scores, style
from cifar_jax.data import image_files
from cifar_jax.errors import UserError, nearest
from cifar_jax.models import weight_files
from cifar_jax.trained import batches

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Images to explain, with the model's answers."""

    images: np.ndarray  # uint8 [N, H, W, 3]
    labels: np.ndarray  # int64 [N]; -1 of a file
    indices: np.ndarray  # int64 [N], in the split; -1 of a file
    sources: list[str]  # what a figure calls them
    logits: np.ndarray  # float32 [N, num_classes]


def choose_files(run, paths):
    """Read the pictures of files.

    Raises:
        UserError: a file that can't be read as a picture.
    """
    images = np.stack([image_files.read(path, run.image_shape[0]) for path in paths])
    none = np.full(len(paths), -1, np.int64)
    sources = [pathlib.Path(path).name for path in paths]
    return Chosen(images, none, none, sources, trained.logits(run, images, BATCH))


def choose_from_split(run, split, which, count):
    """Choose the first images of a split that are classified as wanted.

    Args:
        run: trained.Trained.
        split: "train", "validation" or "test".
        which: "correct", "wrong", or None for both.
        count: how many, at most.
    Raises:
        UserError: no such split, or no such image in it.
    """
    images, labels, indices = trained.split(run, split)
    size = min(BATCH if which is None else trained.eval_batch_size(run), len(images))
    places, logits = np.zeros(0, np.int64), np.zeros((0, run.inference.num_classes), np.float32)
    for start in range(0, len(images), size):
        part = trained.logits(run, images[start : start + size], size)
        correct = part.argmax(1) == labels[start : start + size]
        wanted = np.flatnonzero(
            {"correct": correct, "wrong": ~correct, None: correct | True}[which]
        )
        places, logits = np.append(places, start + wanted), np.concatenate([logits, part[wanted]])
        if len(places) >= count:
            break
    if not len(places):
        raise UserError(f"the model gets no image of the split {split} {which}")
    places = places[:count]
    numbers = np.asarray(indices)[places]
    sources = [f"{split} {number}" for number in numbers]
    labels = labels[places].astype(np.int64)
    return Chosen(np.asarray(images[places]), labels, numbers, sources, logits[:count])


def maps_of(run, images, classes, layer):
    """Compute gradcam.maps in batches of one size: float32 [N, h, w], NumPy.

    Args:
        run: trained.Trained.
        images: uint8 [N, H, W, 3].
        classes: int [N].
        layer: name.
    """
    variables = jax.device_put(run.variables)

    def step(images, classes):
        inputs = run.inference.normalize(images)
        return gradcam.maps(run.inference.model, variables, inputs, classes, layer)

    return batches.apply_batched(step, min(BATCH, len(images)), images, classes)


def class_number(run, name):
    """Return the number of a class, given by its name or its number.

    Raises:
        UserError: there is none; the nearest name is given.
    """
    names = [str(each) for each in run.dataset.class_names]
    if name in names:
        return names.index(name)
    numbers = [str(each) for each in range(len(names))]
    if name in numbers:
        return numbers.index(name)
    raise UserError(f"{run.dataset.name} has no class {name!r}; {nearest(name, names)}")


def table_of_layers(run):
    """Yield the lines of --list-layers: each layer's name, the size of its output, and a remark."""
    model, shape = run.inference.model, (1, *run.image_shape)
    shapes = named_layers.layers(model, run.variables, shape)
    remarks = {layer: alias for alias, layer in named_layers.aliases(model).items()}
    default = gradcam.default_layer(shapes)
    remarks[default] = ", ".join(filter(None, (remarks.get(default), "the default")))
    width = max(map(len, shapes))
    for name, shape in shapes.items():
        size = " x ".join(map(str, shape[1:]))
        yield f"{name:{width}}  {size:15}  {remarks.get(name, '')}".rstrip()


def explain(run, chosen, layer, explained, folder):
    """Write the figure and the arrays.

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
    folder = result.open_folder(folder)  # before maps are computed
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
    weight_files.write(folder / "gradcam.npz", arrays)
    return [*paths, folder / "gradcam.npz"]


def _title(source, label, predicted, confidence):
    """Return the title of an image in a figure, in two lines where one would reach into the neighbour's."""
    parts = [style.shortened(source, 1.8, 8)]
    parts += [f"true: {label}"] if label else []
    answer = f"predicted: {predicted}, {100 * confidence:.0f} %"
    line = "   ".join([*parts, answer])
    return line if style.width(line, 8) <= 3.5 else "   ".join(parts) + "\n" + answer
