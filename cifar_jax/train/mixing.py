"""Mixup and CutMix on the device: pure functions of whole batches of normalised images.

The random draws are in `mix` alone; the others are told what to do, so a NumPy loop can check them.
"""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Mixing:
    """Parameters of the Beta distributions that the weights are drawn from; 0 = off.

    With both on, each batch gets one of them, by a fair coin.
    """

    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0

    def __post_init__(self):
        if self.mixup_alpha < 0 or self.cutmix_alpha < 0:
            raise ValueError("mixup_alpha and cutmix_alpha must not be negative")

    def __bool__(self):
        return bool(self.mixup_alpha or self.cutmix_alpha)


def mixup(images, partners, weight):
    """Return weight * image + (1 - weight) * its partner, computed in float32.

    Args:
      images: float [B, H, W, C].
      partners: int [B], which image each is mixed with.
      weight: float [] in 0..1.
    Returns:
      [B, H, W, C] of the images' dtype.

    Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, https://arxiv.org/abs/1710.09412
    """
    first, second = (x.astype(jnp.float32) for x in (images, images[partners]))
    return (weight * first + (1 - weight) * second).astype(images.dtype)


def cutmix_box(centre, weight, height, width):
    """Return the box of CutMix: 1 - weight of the image's area, clipped where it leaves the image.

    Args:
      centre: int [2], row and column in 0..height-1 and 0..width-1.
      weight: float [] in 0..1.
      height, width: int.
    Returns:
      (low, high): int [2] each; rows low[0] up to high[0] - 1, columns alike.
    """
    size = jnp.array([height, width])
    half = (size * jnp.sqrt(1 - weight)).astype(jnp.int32) // 2
    return jnp.clip(centre - half, 0, size), jnp.clip(centre + half, 0, size)


def cutmix(images, partners, low, high):
    """Paste a box of each image's partner into the image.

    Args:
      images: float [B, H, W, C].
      partners: int [B].
      low, high: of `cutmix_box`.
    Returns:
      ([B, H, W, C], the share of the image that is left: float []).

    Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, 2019,
    https://arxiv.org/abs/1905.04899
    """
    height, width = images.shape[1:3]
    rows, columns = jnp.arange(height), jnp.arange(width)
    box = ((rows >= low[0]) & (rows < high[0]))[:, None] & (columns >= low[1]) & (columns < high[1])
    kept = 1 - jnp.prod(high - low) / (height * width)
    return jnp.where(box[..., None], images[partners], images), kept


def mix_labels(labels, partners, weight, num_classes):
    """Return soft targets: weight for an image's label, 1 - weight for its partner's.

    Args:
      labels, partners: int [B].
      weight: float [].
      num_classes: int.
    Returns:
      float32 [B, num_classes].
    """
    targets = jax.nn.one_hot(labels, num_classes)
    return weight * targets + (1 - weight) * targets[partners]


def mix(key, images, labels, num_classes, mixing):
    """Draw and apply what `mixing` asks for: one permutation and one weight a batch, as both papers' code.

    Every batch is mixed; CutMix's authors mix every second one of CIFAR's.

    Args:
      key: PRNG key.
      images: float [B, H, W, C], normalised.
      labels: int [B].
      num_classes: int.
      mixing: a `Mixing` that is on.
    Returns:
      (images [B, H, W, C], soft targets float32 [B, num_classes]).
    """
    batch, height, width = images.shape[:3]
    partner_key, coin_key, mixup_key, cutmix_key, centre_key = jax.random.split(key, 5)
    partners = jax.random.permutation(partner_key, batch)
    mixed = []
    if alpha := mixing.mixup_alpha:
        weight = jax.random.beta(mixup_key, alpha, alpha)
        mixed.append((mixup(images, partners, weight), weight))
    if alpha := mixing.cutmix_alpha:
        weight = jax.random.beta(cutmix_key, alpha, alpha)
        centre = jax.random.randint(centre_key, (2,), 0, jnp.array([height, width]))
        mixed.append(cutmix(images, partners, *cutmix_box(centre, weight, height, width)))
    if len(mixed) == 2:
        coin = jax.random.bernoulli(coin_key)
        mixed = [jax.tree.map(lambda a, b: jnp.where(coin, a, b), *mixed)]
    ((images, weight),) = mixed
    return images, mix_labels(labels, partners, weight, num_classes)
