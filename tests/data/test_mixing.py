"""Mixup and CutMix against NumPy, image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_jit import quick_jit

from cifar_jax.train import mixing
from cifar_jax.train.mixing import Mixing

RNG = np.random.default_rng(0)
BATCH, CLASSES = 9, 10
IMAGES = RNG.normal(size=(BATCH, 32, 24, 3)).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, BATCH)
PARTNERS = RNG.permutation(BATCH)


def mixup_reference(images, partners, weight):
    return np.stack(
        [weight * x + (1 - weight) * images[p] for x, p in zip(images, partners, strict=True)]
    )


def cutmix_reference(images, partners, centre, weight):
    """rand_bbox of the paper's code (its image's axes are called W and H), and what it does with it."""
    result, (rows, columns) = images.copy(), images.shape[1:3]
    ratio = np.sqrt(1 - weight)
    height, width = int(rows * ratio), int(columns * ratio)
    count = 0
    for row in range(max(centre[0] - height // 2, 0), min(centre[0] + height // 2, rows)):
        for column in range(max(centre[1] - width // 2, 0), min(centre[1] + width // 2, columns)):
            count += 1
            for i, partner in enumerate(partners):
                result[i, row, column] = images[partner, row, column]
    return result, 1 - count / (rows * columns)


def labels_reference(labels, partners, weight):
    targets = np.zeros((len(labels), CLASSES))
    for i, partner in enumerate(partners):
        targets[i, labels[i]] += weight
        targets[i, labels[partner]] += 1 - weight
    return targets


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_mixup(weight):
    expected = mixup_reference(IMAGES, PARTNERS, weight)
    np.testing.assert_allclose(
        mixing.mixup(IMAGES, PARTNERS, weight), expected, rtol=1e-5, atol=1e-6
    )
    low = mixing.mixup(jnp.bfloat16(IMAGES), PARTNERS, jnp.float32(weight))
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(low.astype(np.float32), expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.51, 0.97, 1.0])
@pytest.mark.parametrize("centre", [(0, 0), (31, 23), (16, 12), (5, 20)])
def test_cutmix(weight, centre):
    box = mixing.cutmix_box(jnp.array(centre), jnp.float32(weight), *IMAGES.shape[1:3])
    images, kept = mixing.cutmix(IMAGES, PARTNERS, *box)
    expected, share = cutmix_reference(IMAGES, PARTNERS, centre, np.float32(weight))
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_allclose(kept, share, rtol=1e-5, atol=1e-7)


def test_mix_labels():
    targets = mixing.mix_labels(LABELS, PARTNERS, 0.3, CLASSES)
    np.testing.assert_allclose(targets, labels_reference(LABELS, PARTNERS, 0.3), rtol=1e-6)


BOTH = Mixing(1.0, 0.4)


@pytest.mark.thorough
@pytest.mark.parametrize("options", [Mixing(0.4), Mixing(0.0, 1.0), BOTH])
def test_mix_draws_and_applies(options):
    """One permutation, one weight and, with both on, one fair coin for each batch."""
    mix = quick_jit(mixing.mix, static_argnums=(3, 4))
    chosen = []
    for seed in range(12):
        key = jax.random.PRNGKey(seed)
        keys = jax.random.split(key, 5)
        partners = np.asarray(jax.random.permutation(keys[0], BATCH))
        use_mixup = options.mixup_alpha and (
            not options.cutmix_alpha or bool(jax.random.bernoulli(keys[1]))
        )
        chosen.append(bool(use_mixup))
        if use_mixup:
            share = float(jax.random.beta(keys[2], options.mixup_alpha, options.mixup_alpha))
            expected = mixup_reference(IMAGES, partners, share)
        else:
            share = jax.random.beta(keys[3], options.cutmix_alpha, options.cutmix_alpha)
            centre = np.asarray(jax.random.randint(keys[4], (2,), 0, jnp.array([32, 24])))
            expected, share = cutmix_reference(IMAGES, partners, centre, np.float32(share))
        images, targets = mix(key, IMAGES, LABELS, CLASSES, options)
        np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            targets, labels_reference(LABELS, partners, share), rtol=1e-4, atol=1e-6
        )
    both = options.mixup_alpha and options.cutmix_alpha
    assert len(set(chosen)) == (2 if both else 1)


@pytest.mark.thorough
def test_mix_under_vmap_is_each_alone():
    keys = jax.random.split(jax.random.key(1), 3)
    images, labels = jnp.asarray(IMAGES), jnp.asarray(LABELS)

    def mix(key):
        return mixing.mix(key, images, labels, CLASSES, Mixing(0.5, 0.5))

    together, mix_alone = quick_jit(jax.vmap(mix))(keys), quick_jit(mix)
    for i, key in enumerate(keys):
        alone = mix_alone(key)
        for many, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(many[i], one, rtol=1e-5, atol=1e-6)


def test_off_and_refused():
    assert not Mixing() and Mixing(0.1) and Mixing(0.0, 0.1)
    for wrong in ({"mixup_alpha": -1.0}, {"cutmix_alpha": -0.1}):
        with pytest.raises(ValueError, match="negative"):
            Mixing(**wrong)
