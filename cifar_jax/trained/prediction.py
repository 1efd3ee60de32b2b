"""Classes of pictures of one's own, with confidence."""

import dataclasses

import jax
import numpy as np
from scipy import special

from cifar_jax import trained
from cifar_jax.data import image_files
from cifar_jax.trained.likeness import energy

# Images a step. The least size that holds all files is taken, so that a program is compiled for three
# sizes at most, and found in the cache the next time.
SIZES = (1, 8, 64)


@dataclasses.dataclass(frozen=True)
class Answer:
    """The classes of a picture in a file, or why there are none."""

    file: str
    predictions: tuple[tuple[str, float], ...] = ()  # (class, confidence), the surest first
    unlike: bool | None = None  # the images that the model knows; None: not known
    error: str | None = None

    def as_json(self):
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        listed = [{"class": name, "confidence": sure} for name, sure in self.predictions]
        known = {} if self.unlike is None else {"unlike": self.unlike}
        return {"file": self.file, "predictions": listed, **known}


def predict(run, paths, top=3, note=lambda line: None):
    """Classify pictures, of which only those of one step are held at a time.

    Args:
        run: trained.Trained.
        paths: of files and folders; see image_files.find and image_files.read.
        top: classes for each picture, at most.
        note: is told, in a line, what was left out of each folder.
    Yields:
        Answer, in the order of the paths.
    Raises:
        UserError: of trained.check_finite.
    """
    files = image_files.find_all(paths, note)
    size = next((each for each in SIZES if each >= len(files)), SIZES[-1])
    run = dataclasses.replace(run, variables=jax.device_put(run.variables))
    for start in range(0, len(files), size):
        pictures = [_picture(each, run.image_shape[0]) for each in files[start : start + size]]
        yield from _answers(run, pictures, size, top)


def _picture(file, size):
    """Return (path, uint8 [S, S, 3]) or, of what can't be read, (path, Unreadable)."""
    path = file.path if isinstance(file, image_files.Unreadable) else file
    return path, image_files.try_read(file, size)


def _answers(run, pictures, size, top):
    """Yield the Answers to what `_picture` gives, at most `size` of them."""
    images = [picture for _, picture in pictures if isinstance(picture, np.ndarray)]
    judged = iter(())
    if images:
        padded = np.stack(images + images[:1] * (size - len(images)))
        logits = trained.logits(run, padded, size)[: len(images)]
        trained.check_finite(run, logits)
        unlike = [None] * len(logits)
        if run.limit is not None:
            unlike = (energy(logits) < run.limit.threshold).tolist()
        confidences = special.softmax(logits.astype(np.float64), axis=1)
        judged = zip(confidences, unlike, strict=True)
    for file, picture in pictures:
        if isinstance(picture, np.ndarray):
            confidence, odd = next(judged)
            yield Answer(file, surest(confidence, run.dataset.class_names, top), odd)
        else:
            yield Answer(file, error=picture.why)


def surest(confidences, class_names, top):
    """Return the `top` classes of greatest confidence, of equals the first: a tuple of (name, confidence)."""
    order = np.argsort(-confidences, kind="stable")[:top]
    return tuple((str(class_names[k]), float(confidences[k])) for k in order)
