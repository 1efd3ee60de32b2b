"""MobileNetV2: Sandler et al. 2018, Tables 1 and 2."""

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, relu

# Expansion, features, number of blocks, stride of the first (Table 2: t, c, n, s).
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def blocks(build, stages):
    """The blocks in turn, the first of which sees 32 features."""
    inputs = 32
    for expansion, outputs, count, stride in stages:
        for block in range(count):
            yield build(inputs, outputs, expansion, 1 if block else stride)
            inputs = outputs


def conv(inputs, outputs, size, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)


def conv_relu6(inputs, outputs, size, stride=1, groups=1):
    layer = conv(inputs, outputs, size, stride, groups)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU6())


class ImageNetBlock(nn.Module):
    """Table 1, beside the identity where the shape stays."""

    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        inner = expansion * inputs
        self.add = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *([conv_relu6(inputs, inner, 1)] if expansion > 1 else []),
            conv_relu6(inner, inner, 3, stride, groups=inner),
            conv(inner, outputs, 1),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return x + self.conv(x) if self.add else self.conv(x)


class ImageNetMobileNetV2(nn.Module):
    """The paper's, without dropout."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv_relu6(3, 32, 3, stride=2), *blocks(ImageNetBlock, STAGES), conv_relu6(320, 1280, 1)
        )
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(1280, 10))  # Dropout first.

    def forward(self, x):
        return self.classifier(torch.flatten(adaptive_avg_pool2d(self.features(x), 1), 1))


class Block(nn.Module):
    """ReLU, always expanded, and beside a 1x1 convolution where the stride is 1 and the width changes."""

    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        inner, self.add = expansion * inputs, stride == 1
        self.conv1, self.bn1 = conv(inputs, inner, 1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, stride, groups=inner), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv(inner, outputs, 1), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride == 1 and inputs != outputs:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        y = self.bn3(self.conv3(y))
        return y + self.shortcut(x) if self.add else y


class MobileNetV2(nn.Module):
    """The CIFAR form: stride 1 in the stem and in the second stage."""

    def __init__(self):
        super().__init__()
        stages = [(t, c, n, 1 if c == 24 else s) for t, c, n, s in STAGES]
        self.conv1, self.bn1 = conv(3, 32, 3), nn.BatchNorm2d(32)
        self.layers = nn.Sequential(*blocks(Block, stages))
        self.conv2, self.bn2 = conv(320, 1280, 1), nn.BatchNorm2d(1280)
        self.linear = nn.Linear(1280, 10)

    def forward(self, x):
        x = self.layers(relu(self.bn1(self.conv1(x))))
        x = relu(self.bn2(self.conv2(x)))
        return self.linear(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
