"""Progressive resizing: small images in the first epochs, which take less time, and larger ones later.

Howard, fast.ai's DAWNBench entry, 2018, https://www.fast.ai/posts/2018-08-10-fastai-diu-imagenet.html
"""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Resizing:
    """The side of the images in each epoch.

    sides: one an epoch, the last from then on; () for images as they are.
    steps_per_epoch: of the run.
    """

    sides: tuple[int, ...] = ()
    steps_per_epoch: int = 1

    def apply(self, function, step, images, *operands):
        """Return function(images, *operands) of the images in the size that this step's epoch has.

        A branch for each size stands in the program; the step decides which of them runs. Where a sweep maps over
        the step, all run.

        Args:
          function: pure; its result has the same shapes for every side.
          step: int32 [], from 0.
          images: float [B, H, W, C].
        """
        if not self.sides:
            return function(images, *operands)

        def branch(side):
            return lambda images, *operands: function(resize(images, side), *operands)

        different = sorted(set(self.sides))
        epoch = jnp.minimum(step // self.steps_per_epoch, len(self.sides) - 1)
        chosen = jnp.asarray([different.index(side) for side in self.sides])[epoch]
        return jax.lax.switch(chosen, [branch(side) for side in different], images, *operands)


def resize(images, side):
    """Bring images to side x side pixels, linearly, over all pixels that a new one covers: [B, S, S, C].

    Args:
      images: float [B, H, W, C].
      side: int; that of the images gives them back as they are.
    """
    if images.shape[1:3] == (side, side):
        return images
    shape = (len(images), side, side, images.shape[-1])
    return jax.image.resize(images, shape, "linear", antialias=True)
