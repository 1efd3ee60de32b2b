"""The networks of reports 000 to 004 but for the ResNets, from the reports' tables; layers named as ours."""

import torch
from torch import nn
from torch.nn.functional import leaky_relu, max_pool2d, relu


class PlainCNN(nn.Module):
    """Report 000 (Mantovani and Palmieri), Table 1, without dropout."""

    def __init__(self, activation="leaky_relu"):
        super().__init__()
        self.activation = {"leaky_relu": leaky_relu, "relu": relu}[activation]
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv3, self.bn3 = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv4, self.bn4 = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.conv5, self.bn5 = nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128)
        self.conv6, self.bn6 = nn.Conv2d(128, 128, 3, padding=1), nn.BatchNorm2d(128)
        self.fc1 = nn.Linear(2048, 512)
        self.fc2 = nn.Linear(512, 128)
        self.fc3 = nn.Linear(128, 32)
        self.fc4 = nn.Linear(32, 10)

    def forward(self, x):
        x = self.activation(self.bn1(self.conv1(x)))
        x = max_pool2d(self.activation(self.bn2(self.conv2(x))), 2)
        x = self.activation(self.bn3(self.conv3(x)))
        x = max_pool2d(self.activation(self.bn4(self.conv4(x))), 2)
        x = self.activation(self.bn5(self.conv5(x)))
        x = max_pool2d(self.activation(self.bn6(self.conv6(x))), 2)
        x = self.activation(self.fc1(torch.flatten(x, 1)))
        return self.fc4(self.activation(self.fc3(self.activation(self.fc2(x)))))


class OriginNet(nn.Module):
    """Report 001 (Lai), Table III."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 2, padding=1)
        self.conv2 = nn.Conv2d(6, 16, 2, padding=1)
        self.conv3 = nn.Conv2d(16, 32, 2)
        self.fc1 = nn.Linear(288, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = max_pool2d(relu(self.conv1(x)), 2)
        x = max_pool2d(relu(self.conv2(x)), 2)
        x = max_pool2d(relu(self.conv3(x)), 2)
        x = relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(relu(self.fc2(x)))


class ModifiedNet(nn.Module):
    """Report 001 (Lai), Table VI, without dropout."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.conv3, self.bn3 = nn.Conv2d(12, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.fc1 = nn.Linear(256, 100)
        self.fc2 = nn.Linear(100, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x):
        x = max_pool2d(relu(self.bn1(self.conv1(x))), 2)
        x = max_pool2d(relu(self.bn2(self.conv2(x))), 2)
        x = max_pool2d(relu(self.bn3(self.conv3(x))), 2)
        x = relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(relu(self.fc2(x)))


class SeparableModifiedNet(nn.Module):
    """Report 001 (Lai), the text of section III.B, without dropout."""

    def __init__(self):
        super().__init__()
        self.conv1_depthwise = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.conv1_pointwise, self.bn1 = nn.Conv2d(3, 10, 1), nn.BatchNorm2d(10)
        self.conv2_depthwise = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.conv2_pointwise, self.bn2 = nn.Conv2d(10, 12, 1), nn.BatchNorm2d(12)
        self.conv3_depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.conv3_pointwise, self.bn3 = nn.Conv2d(12, 24, 1), nn.BatchNorm2d(24)
        self.fc1, self.fc1_bn = nn.Linear(384, 100), nn.BatchNorm1d(100)
        self.fc2, self.fc2_bn = nn.Linear(100, 64), nn.BatchNorm1d(64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x):
        x = max_pool2d(relu(self.bn1(self.conv1_pointwise(self.conv1_depthwise(x)))), 2)
        x = max_pool2d(relu(self.bn2(self.conv2_pointwise(self.conv2_depthwise(x)))), 2)
        x = max_pool2d(relu(self.bn3(self.conv3_pointwise(self.conv3_depthwise(x)))), 2)
        x = relu(self.fc1_bn(self.fc1(torch.flatten(x, 1))))
        return self.fc3(relu(self.fc2_bn(self.fc2(x))))


class SelectiveKernelBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.mlp1 = nn.Linear(inputs, 32)
        self.mlp2 = nn.Linear(32, 3)
        self.conv1 = nn.Conv2d(inputs, outputs, 1)
        self.conv3 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv5 = nn.Conv2d(inputs, outputs, 5, padding=2)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        pooled = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        weights = torch.softmax(self.mlp2(relu(self.mlp1(pooled))), 1)
        branches = torch.stack([self.conv1(x), self.conv3(x), self.conv5(x)], 1)
        return relu(self.bn(torch.einsum("bk,bkchw->bchw", weights, branches)))


class SelectiveKernelNet(nn.Module):
    """Report 002, section 3 and Fig. 1, without dropout and softmax."""

    def __init__(self):
        super().__init__()
        self.block1 = SelectiveKernelBlock(3, 32)
        self.block2 = SelectiveKernelBlock(32, 64)
        self.block3 = SelectiveKernelBlock(64, 64)
        self.block4 = SelectiveKernelBlock(64, 128)
        self.block5 = SelectiveKernelBlock(128, 128)
        self.block6 = SelectiveKernelBlock(128, 256)
        self.fc1, self.bn = nn.Linear(256, 128), nn.BatchNorm1d(128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = max_pool2d(self.block2(self.block1(x)), 2)
        x = max_pool2d(self.block4(self.block3(x)), 2)
        x = self.block6(max_pool2d(self.block5(x), 2))
        x = torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)
        return self.fc2(self.bn(relu(self.fc1(x))))


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


class WideNet(nn.Module):
    """Report 003 (Cao), Table 4."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1)
        self.conv2 = nn.Conv2d(64, 128, 3, padding=1)
        self.conv3 = nn.Conv2d(128, 256, 3, padding=1)
        self.fc1 = nn.Linear(256 * 8 * 8, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = max_pool2d(relu(self.conv1(x)), 2)
        x = max_pool2d(relu(self.conv2(x)), 2)
        x = relu(self.conv3(x))
        x = relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(relu(self.fc2(x)))


class SelfAttention(nn.Module):
    """SAGAN's, with a residual gain of 1."""

    def __init__(self, channels):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        query, key, value = (conv(x).flatten(2) for conv in (self.query, self.key, self.value))
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # [B, queries, keys]
        return x + (value @ weights.transpose(1, 2)).reshape(x.shape)


class GapNet(nn.Module):
    """Report 003 (Cao), Table 7, and with attention Table 10, without dropout."""

    def __init__(self, attention=False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128)
        self.conv3, self.bn3 = nn.Conv2d(128, 256, 3, padding=1), nn.BatchNorm2d(256)
        self.attention1 = SelfAttention(64) if attention else nn.Identity()
        self.attention2 = SelfAttention(128) if attention else nn.Identity()
        self.attention3 = SelfAttention(256) if attention else nn.Identity()
        self.fc1 = nn.Linear(256, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = max_pool2d(self.attention1(relu(self.bn1(self.conv1(x)))), 2)
        x = max_pool2d(self.attention2(relu(self.bn2(self.conv2(x)))), 2)
        x = self.attention3(relu(self.bn3(self.conv3(x))))
        x = torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)
        return self.fc3(relu(self.fc2(relu(self.fc1(x)))))


class BigNet(nn.Module):
    """Report 004 (Murgolo), section 2.1, without dropout; initialised as MATLAB does."""

    def __init__(self, batch_norm=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * 3 * 3, 64)
        self.fc2 = nn.Linear(64, 10)
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.bn = nn.BatchNorm1d(64) if batch_norm else nn.Identity()

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = max_pool2d(relu(conv(x)), kernel_size=3, stride=2)
        return self.fc2(relu(self.bn(self.fc1(torch.flatten(x, 1)))))
