"""Multiply-adds against sums by hand, activation memory against a count of what is saved."""

import pytest

from cifar_jax import models
from cifar_jax.models import cost


def valid_taps(size, kernel, padding, stride=1):
    """Pairs (output, tap) along an axis whose tap lies on the image."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    return sum(
        0 <= out * stride + tap - padding < size for out in range(outputs) for tap in range(kernel)
    )


def test_basic_net_by_hand():
    """Report 003, Table 1: nothing is padded, so this is the formula of the papers too."""
    convolutions = 28 * 28 * 6 * (5 * 5 * 3) + 10 * 10 * 16 * (5 * 5 * 6)
    linear = 400 * 120 + 120 * 84 + 84 * 10
    assert cost.multiply_adds("basic_net") == convolutions + linear == 651_720


def test_big_net_by_hand():
    """Report 004, section 2.1: 5x5 convolutions padded by 2; the padding's zeros are left out."""
    by_hand = 576 * 64 + 64 * 10
    for size, inputs, outputs in [(32, 3, 32), (15, 32, 32), (7, 32, 64)]:
        by_hand += valid_taps(size, 5, 2) ** 2 * inputs * outputs
    assert cost.multiply_adds("big_net") == by_hand


def test_grouped_strided_and_scanned_operations_by_hand():
    """resnet18_dw's first blocks, and attention, which goes through its queries block by block."""
    separable = [(32, 1, 64, 64), (32, 1, 64, 64), (32, 2, 64, 128), (16, 1, 128, 128)]
    separable += [(16, 2, 128, 256), (8, 1, 256, 256), (8, 2, 256, 512), (4, 1, 512, 512)]
    by_hand = valid_taps(32, 3, 1) ** 2 * 3 * 64 + 512 * 10
    for size, stride, inputs, outputs in separable:
        pixels = (size // stride) ** 2
        by_hand += valid_taps(size, 3, 1, stride) ** 2 * inputs + pixels * inputs * outputs
        if stride == 2:
            by_hand += pixels * inputs * outputs  # The shortcut.
    assert cost.multiply_adds("resnet18_dw") == by_hand

    attention = 0
    for pixels, channels in [(1024, 64), (256, 128), (64, 256)]:
        depth = channels // 8
        attention += pixels * channels * (2 * depth + channels) + pixels**2 * (depth + channels)
    assert cost.multiply_adds("attention_net") - cost.multiply_adds("gap_net") == attention


def test_classes_count():
    difference = cost.multiply_adds("resnet10", 100) - cost.multiply_adds("resnet10", 10)
    assert difference == 90 * 512


def test_activations_grow_with_the_batch_and_leave_parameters_out():
    one, many = (cost.activation_bytes("basic_net", batch) for batch in (1, 128))
    assert many == 128 * one
    assert one < 4 * models.count_params("basic_net")


def test_activations_are_counted_for_any_batch():
    """attention_net attends in blocks above 8 images, of which it then keeps nothing."""
    at_once, in_blocks = (cost.activation_bytes("attention_net", batch) / batch for batch in (8, 9))
    assert 0 < in_blocks < at_once - 4 * 32**4


def test_activations_of_basic_net_by_hand():
    """Kept in float32: each layer's input; in bytes: for each ReLU which inputs were above 0.

    The inputs: images, pooled maps (a pooling also keeps its input and output), hidden vectors.
    """
    saved = cost.activation_bytes("basic_net", 1)
    inputs = 32 * 32 * 3 + 14 * 14 * 6 + 5 * 5 * 16 + 120 + 84
    pooling = 28 * 28 * 6 + 10 * 10 * 16
    logits = 10
    least, most = 4 * (inputs + pooling), 4 * (inputs + 2 * pooling + 2 * logits) + 4 * pooling
    assert least <= saved <= most


@pytest.mark.parametrize("name", ["resnet18", "resnet18_imagenet"])
def test_near_the_figures_of_papers(name):
    """0.56e9 and 1.82e9 with the padding's zeros counted, which are a seventh and a twelfth of it."""
    published = {"resnet18": 0.5554e9, "resnet18_imagenet": 1.8141e9}[name]
    assert 0.85 * published < cost.multiply_adds(name) < published
