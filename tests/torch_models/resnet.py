"""ResNets: He et al. 2016 and 2016b, Xie et al. 2017, Zagoruyko and Komodakis 2016, Page 2018; report 003."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d, relu


def conv3x3(inputs, outputs, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs, outputs, stride, shortcut="shortcut"):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv3x3(outputs, outputs), nn.BatchNorm2d(outputs)
        self.project = None
        if stride != 1 or inputs != outputs:
            project = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))
            setattr(self, shortcut, project)
            self.project = [project]  # In a list: registered under one name only.

    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(y + (self.project[0](x) if self.project else x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut."""

    def __init__(self, inputs, width, outputs, stride, groups=1):
        super().__init__()
        self.conv1, self.bn1 = conv1x1(inputs, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv3x3(width, width, stride, groups), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv1x1(width, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(relu(self.bn2(self.conv2(y)))))
        return relu(y + self.shortcut(x))


def stage(block, inputs, outputs, count, stride):
    """`count` blocks, of which the first changes the shape."""
    return nn.Sequential(
        *(block(outputs if i else inputs, outputs, 1 if i else stride) for i in range(count))
    )


class ResNet(nn.Module):
    """The CIFAR form, as in report 003 (Cao), section 3.5."""

    def __init__(self, blocks, bottleneck=None):
        super().__init__()

        def block(inputs, outputs, stride):
            if bottleneck is None:
                return Block(inputs, outputs, stride)
            return Bottleneck(inputs, outputs // 4, outputs, stride)

        widths = [(64 if bottleneck is None else 256) * 2**i for i in range(4)]
        self.conv1, self.bn1 = conv3x3(3, 64), nn.BatchNorm2d(64)
        self.layer1 = stage(block, 64, widths[0], blocks[0], 1)
        self.layer2 = stage(block, widths[0], widths[1], blocks[1], 2)
        self.layer3 = stage(block, widths[1], widths[2], blocks[2], 2)
        self.layer4 = stage(block, widths[2], widths[3], blocks[3], 2)
        self.linear = nn.Linear(widths[3], 10)

    def forward(self, x):
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(torch.flatten(adaptive_avg_pool2d(x, 1), 1))


class ImageNetResNet18(nn.Module):
    """He et al. 2016, Table 1, 18 layers."""

    def __init__(self):
        super().__init__()

        def block(inputs, outputs, stride):
            return Block(inputs, outputs, stride, shortcut="downsample")

        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = stage(block, 64, 64, 2, 1)
        self.layer2 = stage(block, 64, 128, 2, 2)
        self.layer3 = stage(block, 128, 256, 2, 2)
        self.layer4 = stage(block, 256, 512, 2, 2)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        x = max_pool2d(relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))


class ResNeXt29(nn.Module):
    """Xie et al. 2017, 2 groups of 64; the stem 1x1 as in kuangliu/pytorch-cifar."""

    def __init__(self):
        super().__init__()

        def block(inputs, outputs, stride):
            return Bottleneck(inputs, outputs // 2, outputs, stride, groups=2)

        self.conv1, self.bn1 = conv1x1(3, 64), nn.BatchNorm2d(64)
        self.layer1 = stage(block, 64, 256, 3, 1)
        self.layer2 = stage(block, 256, 512, 3, 2)
        self.layer3 = stage(block, 512, 1024, 3, 2)
        self.linear = nn.Linear(1024, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(relu(self.bn1(self.conv1(x))))))
        return self.linear(torch.flatten(adaptive_avg_pool2d(x, 1), 1))


class PreActBlock(nn.Module):
    """He et al. 2016b, Fig. 1 (b)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv3x3(inputs, outputs, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv3x3(outputs, outputs)
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv1x1(inputs, outputs, stride))

    def forward(self, x):
        y = relu(self.bn1(x))
        x = self.shortcut(y) if hasattr(self, "shortcut") else x
        return x + self.conv2(relu(self.bn2(self.conv1(y))))


class PreActResNet18(nn.Module):
    """He et al. 2016b, without the last batch norm and ReLU, as in kuangliu/pytorch-cifar."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv3x3(3, 64)
        self.layer1 = stage(PreActBlock, 64, 64, 2, 1)
        self.layer2 = stage(PreActBlock, 64, 128, 2, 2)
        self.layer3 = stage(PreActBlock, 128, 256, 2, 2)
        self.layer4 = stage(PreActBlock, 256, 512, 2, 2)
        self.linear = nn.Linear(512, 10)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.linear(torch.flatten(adaptive_avg_pool2d(x, 1), 1))


class WideResNet(nn.Module):
    """Zagoruyko and Komodakis 2016, Table 1, depth 28 and width 10; layers named as ours."""

    def __init__(self):
        super().__init__()
        self.stem, self.blocks, inputs = conv3x3(3, 16), [], 16
        for group, outputs in enumerate((160, 320, 640), start=1):
            for block in range(1, 5):
                stride = 2 if group > 1 and block == 1 else 1
                self.blocks.append(PreActBlock(inputs, outputs, stride))
                if hasattr(self.blocks[-1], "shortcut"):
                    self.blocks[-1].shortcut = self.blocks[-1].shortcut[0]
                self.add_module(f"stage{group}_block{block}", self.blocks[-1])
                inputs = outputs
        self.bn, self.fc = nn.BatchNorm2d(640), nn.Linear(640, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.fc(torch.flatten(adaptive_avg_pool2d(relu(self.bn(x)), 1), 1))


def conv_batch_norm(inputs, outputs):
    layers = {"conv": conv3x3(inputs, outputs), "bn": nn.BatchNorm2d(outputs), "relu": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers))


class ResNet9(nn.Module):
    """Page 2018, "How to train your ResNet"; layers named as ours."""

    def __init__(self):
        super().__init__()
        self.stem = conv_batch_norm(3, 64)
        self.stage1_conv = conv_batch_norm(64, 128)
        self.stage1_residual1 = conv_batch_norm(128, 128)
        self.stage1_residual2 = conv_batch_norm(128, 128)
        self.stage2_conv = conv_batch_norm(128, 256)
        self.stage3_conv = conv_batch_norm(256, 512)
        self.stage3_residual1 = conv_batch_norm(512, 512)
        self.stage3_residual2 = conv_batch_norm(512, 512)
        self.fc = nn.Linear(512, 10, bias=False)

    def forward(self, x):
        x = max_pool2d(self.stage1_conv(self.stem(x)), 2)
        x = x + self.stage1_residual2(self.stage1_residual1(x))
        x = max_pool2d(self.stage2_conv(x), 2)
        x = max_pool2d(self.stage3_conv(x), 2)
        x = x + self.stage3_residual2(self.stage3_residual1(x))
        return self.fc(torch.flatten(max_pool2d(x, 4), 1)) * 0.125


def depthwise_separable(inputs, outputs, stride):
    """Report 003 (Cao), Table 23."""
    return nn.Sequential(
        OrderedDict(
            depthwise=nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False),
            pointwise=conv1x1(inputs, outputs),
            bn=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
        )
    )


class SeparableBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = depthwise_separable(inputs, outputs, stride)
        self.conv2 = depthwise_separable(outputs, outputs, 1)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            layers = {"conv": conv1x1(inputs, outputs, stride), "bn": nn.BatchNorm2d(outputs)}
            self.shortcut = nn.Sequential(OrderedDict(layers))

    def forward(self, x):
        return relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class SeparableResNet(nn.Module):
    """Report 003 (Cao), Table 23; layers named as ours."""

    def __init__(self):
        super().__init__()
        self.stem = conv_batch_norm(3, 64)
        self.stage1_block1 = SeparableBlock(64, 64, 1)
        self.stage2_block1 = SeparableBlock(64, 128, 2)
        self.stage3_block1 = SeparableBlock(128, 256, 2)
        self.stage4_block1 = SeparableBlock(256, 512, 2)
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = self.stage2_block1(self.stage1_block1(self.stem(x)))
        x = self.stage4_block1(self.stage3_block1(x))
        return self.fc(torch.flatten(nn.functional.avg_pool2d(x, 4), 1))
