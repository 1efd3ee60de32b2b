"""DenseNet-121: Huang et al. 2017, Table 1 and section 3, with bottlenecks and compression, growth 32."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, relu

GROWTH = 32
LAYERS = (6, 12, 24, 16)


class DenseLayer(nn.Sequential):
    """The features of x and `GROWTH` more: behind them as in the paper, or in front of them."""

    def __init__(self, inputs, norm, in_front):
        layers = {
            f"{norm}1": nn.BatchNorm2d(inputs),
            "relu1": nn.ReLU(),
            "conv1": nn.Conv2d(inputs, 4 * GROWTH, 1, bias=False),
            f"{norm}2": nn.BatchNorm2d(4 * GROWTH),
            "relu2": nn.ReLU(),
            "conv2": nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False),
        }
        super().__init__(OrderedDict(layers))
        self.in_front = in_front

    def forward(self, x):
        y = super().forward(x)
        return torch.cat([y, x] if self.in_front else [x, y], 1)


def transition(inputs, norm):
    layers = {
        norm: nn.BatchNorm2d(inputs),
        "relu": nn.ReLU(),
        "conv": nn.Conv2d(inputs, inputs // 2, 1, bias=False),
        "pool": nn.AvgPool2d(2),
    }
    return nn.Sequential(OrderedDict(layers))


class ImageNetDenseNet121(nn.Module):
    """The paper's."""

    def __init__(self):
        super().__init__()
        layers, inputs = nn.Sequential(), 64
        layers.add_module("conv0", nn.Conv2d(3, inputs, 7, stride=2, padding=3, bias=False))
        layers.add_module("norm0", nn.BatchNorm2d(inputs))
        layers.add_module("relu0", nn.ReLU())
        layers.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        for block, count in enumerate(LAYERS, start=1):
            if block > 1:
                layers.add_module(f"transition{block - 1}", transition(inputs, "norm"))
                inputs //= 2
            dense = nn.Sequential()
            for layer in range(1, count + 1):
                dense.add_module(f"denselayer{layer}", DenseLayer(inputs, "norm", in_front=False))
                inputs += GROWTH
            layers.add_module(f"denseblock{block}", dense)
        layers.add_module("norm5", nn.BatchNorm2d(inputs))
        self.features, self.classifier = layers, nn.Linear(inputs, 1000)

    def forward(self, x):
        x = relu(self.features(x))
        return self.classifier(torch.flatten(adaptive_avg_pool2d(x, 1), 1))


class DenseNet121(nn.Module):
    """The CIFAR form: a 3x3 convolution in front, and each layer's features in front of those before it."""

    def __init__(self):
        super().__init__()
        inputs = 64
        self.conv1 = nn.Conv2d(3, inputs, 3, padding=1, bias=False)
        for block, count in enumerate(LAYERS, start=1):
            if block > 1:
                self.add_module(f"trans{block - 1}", transition(inputs, "bn"))
                inputs //= 2
            widths = [inputs + GROWTH * layer for layer in range(count)]
            dense = nn.Sequential(*(DenseLayer(width, "bn", in_front=True) for width in widths))
            self.add_module(f"dense{block}", dense)
            inputs += GROWTH * count
        self.bn, self.linear = nn.BatchNorm2d(inputs), nn.Linear(inputs, 10)

    def forward(self, x):
        x = self.trans1(self.dense1(self.conv1(x)))
        x = self.dense4(self.trans3(self.dense3(self.trans2(self.dense2(x)))))
        return self.linear(torch.flatten(adaptive_avg_pool2d(relu(self.bn(x)), 1), 1))
