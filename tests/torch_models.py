"""The models of the reports in plain PyTorch, written from the reports' tables.

The parity tests and benchmarks/step_time.py hold ours against these. Every submodule has the name
of its Flax twin, so that "stage1_block1.conv1.bn.weight" here is
params["stage1_block1"]["conv1"]["bn"]["scale"] there.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu


class BasicNet(nn.Module):
    """Report 003 (Cao), Table 1."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = max_pool2d(relu(self.conv1(x)), 2)
        x = max_pool2d(relu(self.conv2(x)), 2)
        x = relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(relu(self.fc2(x)))


def conv_batch_norm(inputs, outputs, kernel, stride):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs)))


def depthwise_separable(inputs, outputs, stride):
    """Report 003 (Cao), Table 23."""
    return nn.Sequential(
        OrderedDict(
            depthwise=nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False),
            pointwise=nn.Conv2d(inputs, outputs, 1, bias=False),
            bn=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
        )
    )


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, separable):
        super().__init__()
        if separable:
            self.conv1 = depthwise_separable(inputs, outputs, stride)
            self.conv2 = depthwise_separable(outputs, outputs, 1)
        else:
            self.conv1 = conv_batch_norm(inputs, outputs, 3, stride)
            self.conv1.add_module("relu", nn.ReLU())
            self.conv2 = conv_batch_norm(outputs, outputs, 3, 1)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = conv_batch_norm(inputs, outputs, 1, stride)

    def forward(self, x):
        return relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class ResNet(nn.Module):
    """Report 003 (Cao), section 3.5 and Table 23, without dropout."""

    def __init__(self, blocks_per_stage, separable=False):
        super().__init__()
        self.stem = conv_batch_norm(3, 64, 3, 1)
        self.blocks = []
        inputs = 64
        for stage, blocks in enumerate(blocks_per_stage, start=1):
            for block in range(1, blocks + 1):
                outputs, stride = 64 * 2 ** (stage - 1), 2 if stage > 1 and block == 1 else 1
                self.blocks.append(Block(inputs, outputs, stride, separable))
                self.add_module(f"stage{stage}_block{block}", self.blocks[-1])
                inputs = outputs
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.fc(torch.flatten(nn.functional.avg_pool2d(x, 4), 1))


BUILD = {
    "basic_net": BasicNet,
    "resnet18": lambda: ResNet([2, 2, 2, 2]),
    "resnet10": lambda: ResNet([1, 1, 1, 1]),
    "resnet18_dw": lambda: ResNet([1, 1, 1, 1], separable=True),
}
