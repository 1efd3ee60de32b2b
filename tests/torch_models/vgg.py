"""VGG-16: Simonyan and Zisserman 2015, Table 1, configuration D."""

import torch
from torch import nn

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def features(batch_norm):
    layers, inputs = [], 3
    for stage in WIDTHS:
        for outputs in stage:
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            layers += [nn.BatchNorm2d(outputs)] if batch_norm else []
            layers.append(nn.ReLU())
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG16(nn.Module):
    """The paper's, without dropout."""

    def __init__(self, hidden=4096):
        super().__init__()
        self.features = features(batch_norm=False)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, hidden),
            nn.ReLU(),
            nn.Identity(),  # Dropout.
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Identity(),  # Dropout.
            nn.Linear(hidden, 1000),
        )

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), 7)
        return self.classifier(torch.flatten(x, 1))


class CifarVGG16(nn.Module):
    """With batch norm and one linear layer."""

    def __init__(self):
        super().__init__()
        self.features = features(batch_norm=True)
        self.classifier = nn.Linear(512, 10)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))
