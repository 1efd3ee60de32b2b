"""The models by name. Each is registered once, below, with its exact parameter count.

The counts are the reports'. Three have no reported one, and theirs is ours: modified_net_separable,
selective_kernel_net, big_net_improved; big_net's is what the layers that its report states add up to.
Beyond the reports they are torchvision's and kuangliu/pytorch-cifar's; airbench_net's leaves out its whitening's
kernel, which is not trained.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from cifar_jax import plugins
from cifar_jax.errors import ConfigError, nearest
from cifar_jax.models import airbench_net, own, torch_names
from cifar_jax.models.basic_net import BasicNet
from cifar_jax.models.big_net import BigNet
from cifar_jax.models.densenet import DenseNet
from cifar_jax.models.googlenet import GoogLeNet
from cifar_jax.models.inception_v3 import InceptionV3
from cifar_jax.models.layers import SLOPES
from cifar_jax.models.mobilenet_v2 import MobileNetV2
from cifar_jax.models.modified_net import ModifiedNet, OriginNet
from cifar_jax.models.plain_cnn import PlainCNN
from cifar_jax.models.preact_resnet import PreActResNet
from cifar_jax.models.resnet import ResNet
from cifar_jax.models.resnet9 import ResNet9
from cifar_jax.models.selective_kernel_net import SelectiveKernelNet
from cifar_jax.models.torch_names import Convention
from cifar_jax.models.vgg import VGG
from cifar_jax.models.wide_net import WideNet
from cifar_jax.plugins import Made


class Entry(NamedTuple):
    """A registered model."""

    build: Callable[..., nn.Module]
    num_params: int | None  # with `num_classes` classes; None of a user's own
    dropout: float | None = None  # the model's own rate; None where it has no dropout layer
    activation: str | None = None  # the name of the model's own; None where it leaves no choice
    num_classes: int = 10
    input_shape: tuple[int, int, int] = (32, 32, 3)  # [H, W, C]
    # The feature map [H, W, C] that the layer fc1 sees flattened: PyTorch flattens it as [C, H, W].
    flattened: tuple[int, int, int] | None = None
    # How PyTorch code names the model's parameters, beside our own names.
    torch_names: tuple[Convention, ...] = ()
    # The first FROM_DATA training images, normalised, float32 -> what of `batch_stats` is made from them.
    from_data: Callable | None = None


FROM_DATA = 5000

# The images of the models at ImageNet's size.
IMAGENET: dict[str, Any] = {"num_classes": 1000, "input_shape": (224, 224, 3)}
KUANGLIU_RESNET = (torch_names.KUANGLIU_RESNET, torch_names.TORCHVISION_RESNET)


REGISTRY: dict[str, Entry] = {
    "plain_cnn": Entry(
        PlainCNN, 1_365_930, dropout=0.5, activation="leaky_relu", flattened=(4, 4, 128)
    ),
    "origin_net": Entry(OriginNet, 48_252, flattened=(3, 3, 32)),
    "modified_net": Entry(ModifiedNet, 35_730, dropout=0.5, flattened=(4, 4, 16)),
    "modified_net_separable": Entry(
        partial(ModifiedNet, separable=True), 46_768, dropout=0.5, flattened=(4, 4, 24)
    ),
    "selective_kernel_net": Entry(SelectiveKernelNet, 2_277_436, dropout=0.5),
    "basic_net": Entry(BasicNet, 62_006, flattened=(5, 5, 16)),
    "wide_net": Entry(WideNet, 2_348_030, flattened=(8, 8, 256)),
    "gap_net": Entry(partial(WideNet, global_pool=True), 413_566, dropout=0.5),
    "attention_net": Entry(
        partial(WideNet, global_pool=True, attention=True), 521_646, dropout=0.5
    ),
    "resnet18": Entry(
        partial(ResNet, (2, 2, 2, 2)), 11_173_962, dropout=0.5, torch_names=KUANGLIU_RESNET
    ),
    "resnet10": Entry(
        partial(ResNet, (1, 1, 1, 1)), 4_903_242, dropout=0.5, torch_names=KUANGLIU_RESNET
    ),
    "resnet18_dw": Entry(partial(ResNet, (1, 1, 1, 1), separable=True), 722_186),
    "big_net": Entry(BigNet, 116_906, dropout=0.0, flattened=(3, 3, 64)),
    "big_net_improved": Entry(
        partial(BigNet, batch_norm=True), 117_034, dropout=0.2, flattened=(3, 3, 64)
    ),
    # Beyond the reports, for 32x32 images.
    "resnet34": Entry(
        partial(ResNet, (3, 4, 6, 3)), 21_282_122, dropout=0.0, torch_names=KUANGLIU_RESNET
    ),
    "resnet50": Entry(
        partial(ResNet, (3, 4, 6, 3), features=256, bottleneck=64),
        23_520_842,
        dropout=0.0,
        torch_names=KUANGLIU_RESNET,
    ),
    "resnext29_2x64d": Entry(
        partial(ResNet, (3, 3, 3), features=256, bottleneck=128, groups=2, stem=1),
        9_128_778,
        dropout=0.0,
        torch_names=KUANGLIU_RESNET,
    ),
    "preact_resnet18": Entry(
        partial(PreActResNet, (2, 2, 2, 2), final_norm=False),
        11_171_146,
        torch_names=(torch_names.KUANGLIU_PREACT_RESNET,),
    ),
    "wide_resnet_28_10": Entry(partial(PreActResNet, (4, 4, 4), stem=16, features=160), 36_479_194),
    "resnet9": Entry(ResNet9, 6_573_120),
    "airbench_net": Entry(airbench_net.AirbenchNet, 1_971_352, from_data=airbench_net.statistics),
    "vgg16_bn": Entry(
        partial(VGG, (2, 2, 3, 3, 3)), 14_728_266, torch_names=(torch_names.KUANGLIU_VGG16_BN,)
    ),
    "densenet121": Entry(
        partial(DenseNet, (6, 12, 24, 16)), 6_956_298, torch_names=(torch_names.KUANGLIU_DENSENET,)
    ),
    "googlenet": Entry(GoogLeNet, 6_166_250, torch_names=(torch_names.KUANGLIU_GOOGLENET,)),
    "mobilenet_v2": Entry(MobileNetV2, 2_296_922, torch_names=(torch_names.KUANGLIU_MOBILENET_V2,)),
    # Those that report 001 compares itself with (Table IV), for ImageNet's images.
    "resnet18_imagenet": Entry(
        partial(ResNet, (2, 2, 2, 2), imagenet=True),
        11_689_512,
        torch_names=(torch_names.TORCHVISION_RESNET,),
        **IMAGENET,
    ),
    "densenet121_imagenet": Entry(
        partial(DenseNet, (6, 12, 24, 16), imagenet=True),
        7_978_856,
        torch_names=(torch_names.TORCHVISION_DENSENET,),
        **IMAGENET,
    ),
    "vgg16": Entry(
        partial(VGG, (2, 2, 3, 3, 3), imagenet=True),
        138_357_544,
        dropout=0.5,
        flattened=(7, 7, 512),
        torch_names=(torch_names.TORCHVISION_VGG16,),
        **IMAGENET,
    ),
    "inception_v3": Entry(
        InceptionV3,
        27_161_264,
        dropout=0.5,
        num_classes=1000,
        input_shape=(299, 299, 3),
        torch_names=(torch_names.TORCHVISION_INCEPTION_V3,),
    ),
    "googlenet_imagenet": Entry(
        partial(GoogLeNet, imagenet=True),
        6_624_904,
        dropout=0.2,
        torch_names=(torch_names.TORCHVISION_GOOGLENET,),
        **IMAGENET,
    ),
    "mobilenet_v2_imagenet": Entry(
        partial(MobileNetV2, imagenet=True),
        2_236_682,
        dropout=0.2,
        torch_names=(torch_names.TORCHVISION_MOBILENET_V2,),
        # 10 classes: so the report counts it.
        **IMAGENET | {"num_classes": 10},
    ),
}


def register(
    name: str, *, input_shape: tuple[int, int, int] = (32, 32, 3), num_classes: int = 10
) -> Callable[[Made], Made]:
    """Make a Flax module of one's own a model of that name: a decorator of its class, or of a function that makes it.

    It takes `num_classes`, and where it has them `dtype` and `dropout`; its `__call__` takes images [B, H, W, 3],
    normalised, and where it has it `train`, and returns logits [B, num_classes]. Batch statistics are a collection
    `batch_stats`, as Flax's BatchNorm has them, and dropout draws from "dropout".

    Args:
      name: for config.model.name.
      input_shape: [H, W, C] of the images that it is made for; other sizes go where its parameters are the same.
      num_classes: for what is said of it without a data set.
    Raises:
      ConfigError: the name is one of ours, or the module takes no `num_classes`.
    """

    def entry_of(make):
        taken = own.arguments(make)
        rate = taken["dropout"].default if "dropout" in taken else None
        has_rate = isinstance(rate, int | float) and not isinstance(rate, bool)
        return Entry(
            own.builder(name, make),
            None,
            dropout=float(rate) if has_rate else None,
            num_classes=num_classes,
            input_shape=tuple(input_shape),
        )

    return plugins.registering("model", REGISTRY, name, entry_of)


def names() -> list[str]:
    """List the registered names, in the order of the registry."""
    return list(REGISTRY)


def create(
    name: str,
    num_classes: int | None = None,
    dtype: jax.typing.DTypeLike = jnp.float32,
    dropout: float | None = None,
    *,
    activation: str | None = None,
) -> nn.Module:
    """Build a model: float images [B, H, W, 3], already normalised -> logits [B, num_classes].

    Args:
      name: one of `names()`; its entry in `REGISTRY` has the shape of the images.
      num_classes: width of the last layer; None takes the entry's.
      dtype: type to compute in. Parameters, batch statistics and logits are float32 (float64 for float64).
      dropout: rate in [0, 1) of the model's dropout layers; None takes the model's own.
      activation: a name of `layers.SLOPES`, for a model that leaves the choice; None takes the model's own.
    Returns:
      A Flax module. In training it updates `batch_stats` and, with dropout, draws from the "dropout" key:
      `module.apply(variables, images, train=True, rngs={"dropout": key}, mutable=["batch_stats"])`.
    Raises:
      ConfigError: unknown name or activation, a rate that is out of range or for a model without a dropout layer,
        or an activation for a model that leaves no choice.
    """
    entry = lookup(name)
    options: dict[str, Any] = {"num_classes": num_classes or entry.num_classes, "dtype": dtype}
    if entry.dropout is not None:
        rate = entry.dropout if dropout is None else dropout
        if not 0 <= rate < 1:
            raise ConfigError(f"dropout must be in [0, 1), not {rate}")
        options["dropout"] = float(rate)
    elif dropout:
        raise ConfigError(f"model {name!r} has no dropout layer, so no rate can be set: {dropout}")
    if entry.activation is not None:
        options["activation"] = activation or entry.activation
        if options["activation"] not in SLOPES:
            raise _unknown("activation", activation, SLOPES)
    elif activation:
        raise ConfigError(f"model {name!r} leaves no choice of its activation: {activation!r}")
    return entry.build(**options)


def shapes(
    name: str, num_classes: int | None = None, dtype: jax.typing.DTypeLike = jnp.float32
) -> dict[str, Any]:
    """Return the variables of a model as jax.ShapeDtypeStruct: its initialisation, traced but not run."""
    entry = lookup(name)
    treedef, leaves = _traced_shapes(
        name,
        num_classes,
        jnp.dtype(dtype),
        jax.config.jax_enable_x64,  # type: ignore[attr-defined]
        entry.build,
    )
    return jax.tree.unflatten(treedef, leaves)  # dicts that belong to the caller


@cache
def _traced_shapes(name, num_classes, dtype, _in_64_bits, _build):
    """Trace `shapes` once for a process: of a deep model it takes a second, and several answers need it."""
    images = jax.ShapeDtypeStruct((1, *lookup(name).input_shape), dtype)
    model, entry = create(name, num_classes, dtype), lookup(name)
    if entry.num_params is None:
        own.check(name, model, num_classes or entry.num_classes, entry.input_shape)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    leaves, treedef = jax.tree.flatten(shapes)
    return treedef, leaves


def last_layers(name: str) -> tuple[str, ...]:
    """Return the layers that depend on the number of classes, as names of modules joined by "/"."""
    classes = lookup(name).num_classes
    here, wider = (flatten_dict(shapes(name, n)["params"]) for n in (classes, classes + 1))
    paths = [path for path in here if here[path].shape != wider[path].shape]
    return tuple(dict.fromkeys("/".join(path[:-1]) for path in paths))


def count_params(name: str, num_classes: int | None = None) -> int:
    """Count the trainable parameters."""
    leaves = jax.tree.leaves(shapes(name, num_classes)["params"])
    return sum(math.prod(leaf.shape) for leaf in leaves)


def check_images(name: str, shape: Sequence[int]) -> None:
    """Raise ConfigError where the model does not take images of `shape`, [H, W, C]."""
    entry = lookup(name)
    if entry.num_params is None:  # of a user's own: its faults are said before its size
        shapes(name)
    wanted = entry.input_shape
    if tuple(shape) != wanted and not takes(name, shape):
        raise ConfigError(
            f"model {name!r} does not take images of {' x '.join(map(str, shape))}, but of "
            f"{' x '.join(map(str, wanted))}: set dataset.image_size={wanted[0]}"
        )


def takes(name: str, shape: Sequence[int]) -> bool:
    """Return whether a model takes images of `shape`, [H, W, C], with the parameters that it has for its own."""
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    trace = jax.make_jaxpr(create(name).init, return_shape=True)
    try:
        traced, variables = trace(jax.random.key(0), images)
    except (ConfigError, TypeError, ValueError, ZeroDivisionError):
        return False
    # A map without pixels has no mean.
    results = [each.aval for step in traced.eqns for each in step.outvars]
    empty = any(0 in getattr(each, "shape", ()) for each in results)
    usual = jax.tree.map(lambda leaf: leaf.shape, shapes(name))
    return not empty and jax.tree.map(lambda leaf: leaf.shape, variables) == usual


def lookup(name: str) -> Entry:
    """Return the entry of that name; ConfigError, with the nearest one, where there is none."""
    if entry := plugins.find("model", REGISTRY, name):
        return entry
    raise _unknown("model", name, REGISTRY)


def _unknown(kind, name, known) -> ConfigError:
    return ConfigError(f"unknown {kind} {name!r}; {nearest(str(name), known)}")
