"""Inception v3: Szegedy et al. 2016, Table 1 and Figs. 5 to 8 and 10, as torchvision has it."""

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, max_pool2d

from torch_models.googlenet import conv_batch_norm


def conv1x1(inputs, outputs):
    return conv_batch_norm(inputs, outputs, 1)


def conv3x3(inputs, outputs):
    return conv_batch_norm(inputs, outputs, 3, padding=1)


def halve3x3(inputs, outputs):
    return conv_batch_norm(inputs, outputs, 3, stride=2)


def row(inputs, outputs, length):
    return conv_batch_norm(inputs, outputs, (1, length), padding=(0, length // 2))


def column(inputs, outputs, length):
    return conv_batch_norm(inputs, outputs, (length, 1), padding=(length // 2, 0))


def average(x):
    return avg_pool2d(x, 3, stride=1, padding=1)


def halve(x):
    return max_pool2d(x, 3, stride=2)


class Grid35(nn.Module):
    """Fig. 5."""

    def __init__(self, inputs, pool):
        super().__init__()
        self.branch1x1 = conv1x1(inputs, 64)
        self.branch5x5_1 = conv1x1(inputs, 48)
        self.branch5x5_2 = conv_batch_norm(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = conv1x1(inputs, 64)
        self.branch3x3dbl_2 = conv3x3(64, 96)
        self.branch3x3dbl_3 = conv3x3(96, 96)
        self.branch_pool = conv1x1(inputs, pool)

    def forward(self, x):
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(average(x))], 1)


class Grid35To17(nn.Module):
    """Fig. 10."""

    def __init__(self, inputs):
        super().__init__()
        self.branch3x3 = halve3x3(inputs, 384)
        self.branch3x3dbl_1 = conv1x1(inputs, 64)
        self.branch3x3dbl_2 = conv3x3(64, 96)
        self.branch3x3dbl_3 = halve3x3(96, 96)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, halve(x)], 1)


class Grid17(nn.Module):
    """Fig. 6 with n = 7."""

    def __init__(self, width):
        super().__init__()
        self.branch1x1 = conv1x1(768, 192)
        self.branch7x7_1 = conv1x1(768, width)
        self.branch7x7_2 = row(width, width, 7)
        self.branch7x7_3 = column(width, 192, 7)
        self.branch7x7dbl_1 = conv1x1(768, width)
        self.branch7x7dbl_2 = column(width, width, 7)
        self.branch7x7dbl_3 = row(width, width, 7)
        self.branch7x7dbl_4 = column(width, width, 7)
        self.branch7x7dbl_5 = row(width, 192, 7)
        self.branch_pool = conv1x1(768, 192)

    def forward(self, x):
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(average(x))], 1)


class Grid17To8(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch3x3_1 = conv1x1(768, 192)
        self.branch3x3_2 = halve3x3(192, 320)
        self.branch7x7x3_1 = conv1x1(768, 192)
        self.branch7x7x3_2 = row(192, 192, 7)
        self.branch7x7x3_3 = column(192, 192, 7)
        self.branch7x7x3_4 = halve3x3(192, 192)

    def forward(self, x):
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat(
            [self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(seven), halve(x)], 1
        )


class Grid8(nn.Module):
    """Fig. 7."""

    def __init__(self, inputs):
        super().__init__()
        self.branch1x1 = conv1x1(inputs, 320)
        self.branch3x3_1 = conv1x1(inputs, 384)
        self.branch3x3_2a = row(384, 384, 3)
        self.branch3x3_2b = column(384, 384, 3)
        self.branch3x3dbl_1 = conv1x1(inputs, 448)
        self.branch3x3dbl_2 = conv3x3(448, 384)
        self.branch3x3dbl_3a = row(384, 384, 3)
        self.branch3x3dbl_3b = column(384, 384, 3)
        self.branch_pool = conv1x1(inputs, 192)

    def forward(self, x):
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [
            self.branch1x1(x),
            *(self.branch3x3_2a(three), self.branch3x3_2b(three)),
            *(self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)),
            self.branch_pool(average(x)),
        ]
        return torch.cat(parts, 1)


class AuxiliaryHead(nn.Module):
    """Fig. 8."""

    def __init__(self):
        super().__init__()
        self.conv0 = conv1x1(768, 128)
        self.conv1 = conv_batch_norm(128, 768, 5)
        self.fc = nn.Linear(768, 1000)

    def forward(self, x):
        x = self.conv1(self.conv0(avg_pool2d(x, 5, stride=3)))
        return self.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))


class InceptionV3(nn.Module):
    """Without dropout. Gives logits in evaluation, (logits, auxiliary logits) in training."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = halve3x3(3, 32)
        self.Conv2d_2a_3x3 = conv_batch_norm(32, 32, 3)
        self.Conv2d_2b_3x3 = conv3x3(32, 64)
        self.Conv2d_3b_1x1 = conv1x1(64, 80)
        self.Conv2d_4a_3x3 = conv_batch_norm(80, 192, 3)
        self.Mixed_5b = Grid35(192, 32)
        self.Mixed_5c, self.Mixed_5d = Grid35(256, 64), Grid35(288, 64)
        self.Mixed_6a = Grid35To17(288)
        self.Mixed_6b, self.Mixed_6c = Grid17(128), Grid17(160)
        self.Mixed_6d, self.Mixed_6e = Grid17(160), Grid17(192)
        self.AuxLogits = AuxiliaryHead()
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = Grid17To8(), Grid8(1280), Grid8(2048)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        x = halve(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = halve(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = inner = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        logits = self.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return (logits, self.AuxLogits(inner)) if self.training else logits
