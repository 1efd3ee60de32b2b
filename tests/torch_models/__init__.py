"""The models in plain PyTorch, written from the papers' tables, without dropout.

The parity tests and benchmarks/step_time.py hold ours against these. Layers have the names that PyTorch
users know: of torchvision for the models at ImageNet's size, of kuangliu/pytorch-cifar for their CIFAR
forms, and of our own modules where neither has the model.
"""

from torch_models import (
    airbench,
    densenet,
    googlenet,
    inception_v3,
    mobilenet_v2,
    reports,
    resnet,
    vgg,
)

BUILD = {
    "plain_cnn": reports.PlainCNN,
    "origin_net": reports.OriginNet,
    "modified_net": reports.ModifiedNet,
    "modified_net_separable": reports.SeparableModifiedNet,
    "selective_kernel_net": reports.SelectiveKernelNet,
    "basic_net": reports.BasicNet,
    "wide_net": reports.WideNet,
    "gap_net": reports.GapNet,
    "attention_net": lambda: reports.GapNet(attention=True),
    "resnet18": lambda: resnet.ResNet([2, 2, 2, 2]),
    "resnet10": lambda: resnet.ResNet([1, 1, 1, 1]),
    "resnet18_dw": resnet.SeparableResNet,
    "big_net": reports.BigNet,
    "big_net_improved": lambda: reports.BigNet(batch_norm=True),
    "resnet34": lambda: resnet.ResNet([3, 4, 6, 3]),
    "resnet50": lambda: resnet.ResNet([3, 4, 6, 3], bottleneck=64),
    "resnext29_2x64d": resnet.ResNeXt29,
    "preact_resnet18": resnet.PreActResNet18,
    "wide_resnet_28_10": resnet.WideResNet,
    "resnet9": resnet.ResNet9,
    "airbench_net": airbench.AirbenchNet,
    "googlenet": googlenet.GoogLeNet,
    "googlenet_imagenet": googlenet.ImageNetGoogLeNet,
    "inception_v3": inception_v3.InceptionV3,
    "vgg16_bn": vgg.CifarVGG16,
    "densenet121": densenet.DenseNet121,
    "mobilenet_v2": mobilenet_v2.MobileNetV2,
    "resnet18_imagenet": resnet.ImageNetResNet18,
    "densenet121_imagenet": densenet.ImageNetDenseNet121,
    "vgg16": vgg.VGG16,
    "mobilenet_v2_imagenet": mobilenet_v2.ImageNetMobileNetV2,
}
