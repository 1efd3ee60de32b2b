"""Grad-CAM of images of a split, or of one's own: chosen, explained, drawn and kept."""

import dataclasses
import itertools
import pathlib

import jax
import numpy as np

from cifar_jax import trained
from cifar_jax.analysis import gradcam, named_layers, overlays, photos, result, scores, style
from cifar_jax.data import image_files
from cifar_jax.data.images import fit
from cifar_jax.errors import UserError, nearest
from cifar_jax.models import weight_files
from cifar_jax.trained import batches, prediction

BATCH = 64


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Images to explain, with the model's answers."""

    images: np.ndarray  # uint8 [N, H, W, 3]
    labels: np.ndarray  # int64 [N]; -1 of a file
    indices: np.ndarray  # int64 [N], in the split; -1 of a file
    sources: list[str]  # what a figure calls them
    logits: np.ndarray  # float32 [N, num_classes]
    originals: list[photos.Photo] | None = None  # of files, as they are


def choose_files(run, paths):
    """Read the pictures of files.

    Raises:
        UserError: a file that can't be read as a picture.
    """
    seen, shown = [], []
    for path in paths:
        picture = image_files.whole(path)
        seen.append(fit(picture, run.image_shape[0]))
        shown.append(photos.of_picture(picture))
    seen, none = np.stack(seen), np.full(len(paths), -1, np.int64)
    sources = [pathlib.Path(path).name for path in paths]
    return Chosen(seen, none, none, sources, trained.logits(run, seen, BATCH), shown)


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


def earlier(folder):
    """Do as result.earlier for what `explain` is about to replace in a folder."""

    def images_of(path):
        with np.load(path, allow_pickle=False) as file:
            sources, of_files = file["source"].tolist(), file["index"].max() < 0
        plural = "s" * (len(sources) != 1)
        of_split = f"image{plural} of {sources[0].rpartition(' ')[0]}"
        return f"{len(sources)} {f'file{plural}' if of_files else of_split}"

    return result.earlier(folder, "gradcam.npz", "the figure", images_of)


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
    draw = _draw_examples if chosen.originals is None else _draw_photos
    figure = draw(run, chosen, np.asarray(gradcam.normalized(maps)), layer, explained)
    paths = style.save(figure, folder, "gradcam")
    weight_files.write(folder / "gradcam.npz", arrays)
    return [*paths, folder / "gradcam.npz"]


def _heading(run, layer, maps, explained):
    """Say in a line whose maps these are."""
    whose = "the predicted class"
    if explained is not None:
        whose = f"the class {_short(run.dataset.class_names[explained])}"
    height, width = maps.shape[1:]
    return f"Grad-CAM of {whose}: {run.config.model.name} at {layer}, {height} x {width}"


def _short(name):
    return style.shortened(str(name), 1.1, 8)


def _draw_photos(run, chosen, maps, layer, explained):
    """Draw the figure of files, with the three surest classes and the one that is explained."""
    names, answers = run.dataset.class_names, []
    for each in scores.probabilities(chosen.logits):
        best = prediction.surest(each, names, 3)
        asked = () if explained is None else ((str(names[explained]), float(each[explained])),)
        answers.append(best if set(asked) <= set(best) else best + asked)
    size = run.image_shape[0]
    title = (
        f"{_heading(run, layer, maps, explained)}\n"
        f"photo, as the model sees it ({size} x {size}), map over the photo, answer"
    )
    return photos.draw(chosen.originals, chosen.images, maps, chosen.sources, answers, title)


def _draw_examples(run, chosen, maps, layer, explained):
    """Draw the figure of images of a split."""
    predicted, names = chosen.logits.argmax(1), [_short(name) for name in run.dataset.class_names]
    confidence = scores.probabilities(chosen.logits).max(1)
    titles = [
        _title(source, names[label], names[guess], sure)
        for source, label, guess, sure in zip(
            chosen.sources, chosen.labels, predicted, confidence, strict=True
        )
    ]
    large = np.asarray(gradcam.resized(maps, *chosen.images.shape[1:3]))
    examples = itertools.starmap(
        overlays.Example, zip(chosen.images, maps, large, titles, strict=True)
    )
    title = f"{_heading(run, layer, maps, explained)}\nimage, map, map over the image"
    return overlays.draw(list(examples), title)


def _title(source, label, predicted, confidence):
    """Return the title of an image in a figure, in two lines where one would reach into the neighbour's."""
    parts = [style.shortened(source, 1.8, 8), f"true: {label}"]
    answer = f"predicted: {predicted}, {100 * confidence:.0f} %"
    line = "   ".join([*parts, answer])
    return line if style.width(line, 8) <= 3.5 else "   ".join(parts) + "\n" + answer
