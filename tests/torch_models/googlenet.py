"""GoogLeNet: Szegedy et al. 2015, Table 1, with batch norm."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d

# Columns of Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
WIDTHS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def conv_batch_norm(inputs, outputs, size, stride=1, padding=0):
    """ImageNet's: no bias, epsilon 0.001, the layers by name."""
    conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
    norm = nn.BatchNorm2d(outputs, eps=0.001)
    return nn.Sequential(OrderedDict(conv=conv, bn=norm, relu=nn.ReLU()))


def layers(inputs, outputs, size):
    """The CIFAR form's: with bias, the layers in a row."""
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def pool():
    return nn.MaxPool2d(3, stride=1, padding=1)


class ImageNetInception(nn.Module):
    def __init__(self, inputs, one, reduce_three, three, reduce_five, five, projection):
        super().__init__()
        conv = conv_batch_norm
        self.branch1 = conv(inputs, one, 1)
        self.branch2 = nn.Sequential(
            conv(inputs, reduce_three, 1), conv(reduce_three, three, 3, padding=1)
        )
        # The paper's 5x5 is a 3x3, as in torchvision.
        self.branch3 = nn.Sequential(
            conv(inputs, reduce_five, 1), conv(reduce_five, five, 3, padding=1)
        )
        self.branch4 = nn.Sequential(pool(), conv(inputs, projection, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class CifarInception(nn.Module):
    def __init__(self, inputs, one, reduce_three, three, reduce_five, five, projection):
        super().__init__()
        self.b1 = nn.Sequential(*layers(inputs, one, 1))
        self.b2 = nn.Sequential(*layers(inputs, reduce_three, 1), *layers(reduce_three, three, 3))
        self.b3 = nn.Sequential(
            *layers(inputs, reduce_five, 1), *layers(reduce_five, five, 3), *layers(five, five, 3)
        )
        self.b4 = nn.Sequential(pool(), *layers(inputs, projection, 1))

    def forward(self, x):
        return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)


def inceptions(block):
    """By the paper's names of them; the first sees 192 features."""
    made, inputs = {}, 192
    for name, widths in WIDTHS.items():
        made[name] = block(inputs, *widths)
        one, _, three, _, five, projection = widths
        inputs = one + three + five + projection
    return made


class ImageNetGoogLeNet(nn.Module):
    """As torchvision has it, without auxiliary heads and dropout."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv_batch_norm(3, 64, 7, stride=2, padding=3)
        self.conv2 = conv_batch_norm(64, 64, 1)
        self.conv3 = conv_batch_norm(64, 192, 3, padding=1)
        for name, block in inceptions(ImageNetInception).items():
            self.add_module(f"inception{name}", block)
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x):
        x = max_pool2d(self.conv1(x), 3, stride=2, ceil_mode=True)
        x = max_pool2d(self.conv3(self.conv2(x)), 3, stride=2, ceil_mode=True)
        for name in WIDTHS:
            x = getattr(self, f"inception{name}")(x)
            if name in ("3b", "4e"):
                x = max_pool2d(x, 3 if name == "3b" else 2, stride=2, ceil_mode=True)
        return self.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))


class GoogLeNet(nn.Module):
    """For 32x32 images, as in kuangliu/pytorch-cifar."""

    def __init__(self):
        super().__init__()
        self.pre_layers = nn.Sequential(*layers(3, 192, 3))
        for name, block in inceptions(CifarInception).items():
            self.add_module(name[::-1], block)
        self.linear = nn.Linear(1024, 10)

    def forward(self, x):
        x = self.pre_layers(x)
        for name in WIDTHS:
            x = getattr(self, name[::-1])(x)
            if name in ("3b", "4e"):
                x = max_pool2d(x, 3, stride=2, padding=1)
        return self.linear(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
