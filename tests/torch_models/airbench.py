"""The network of airbench94: Jordan 2024, sections 3.1 to 3.3; layers named as ours."""

import torch
from torch import nn
from torch.nn.functional import adaptive_max_pool2d, batch_norm, conv2d, gelu, max_pool2d


class Whitening(nn.Module):
    """A convolution whose kernel is not trained."""

    def __init__(self, inputs, outputs, size):
        super().__init__()
        drawn = nn.Conv2d(inputs, outputs, size)
        self.register_buffer("weight", drawn.weight.detach())
        self.bias = drawn.bias

    def forward(self, x):
        return conv2d(x, self.weight, self.bias)


class BiasedBatchNorm(nn.Module):
    """Batch norm without scale: eps 1e-12, and 0.4 of each batch in the running statistics."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        statistics = self.running_mean, self.running_var
        return batch_norm(x, *statistics, None, self.bias, self.training, 0.4, 1e-12)


def convolution(inputs, outputs):
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:inputs])
    return conv


class AirbenchNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.whiten, inputs = Whitening(3, 24, 2), 24
        for group, outputs in enumerate((64, 256, 256), start=1):
            setattr(self, f"group{group}_conv1", convolution(inputs, outputs))
            setattr(self, f"group{group}_bn1", BiasedBatchNorm(outputs))
            setattr(self, f"group{group}_conv2", convolution(outputs, outputs))
            setattr(self, f"group{group}_bn2", BiasedBatchNorm(outputs))
            inputs = outputs
        self.fc = nn.Linear(256, 10, bias=False)
        self.fc.weight.data /= self.fc.weight.data.std()

    def forward(self, x):
        x = gelu(self.whiten(x))
        for group in (1, 2, 3):
            conv1, bn1, conv2, bn2 = (
                getattr(self, f"group{group}_{layer}") for layer in ("conv1", "bn1", "conv2", "bn2")
            )
            x = gelu(bn1(max_pool2d(conv1(x), 2)))
            x = gelu(bn2(conv2(x)))
        return self.fc(torch.flatten(adaptive_max_pool2d(x, 1), 1)) / 256
