"""The published networks in PyTorch, with free widths and depths.

Written from the papers and from the key names of the published checkpoints; torchvision is not
needed. Every class keeps the names that its family's checkpoints have.
"""

import torch
import torch.nn.functional as F
from torch import nn


def conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, zeros for the new channels on both sides."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before
        self.stride = stride

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


class Basic(nn.Module):
    def __init__(self, inputs, width, stride, shortcut):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        add_shortcut(self, shortcut, inputs, width, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + around(self, x))


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride, shortcut, groups=1, group_width=64):
        super().__init__()
        inner, outputs = width * group_width // 64 * groups, 4 * width
        self.conv1, self.bn1 = conv(inputs, inner, 1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv(inner, inner, 3, stride, groups), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv(inner, outputs, 1), nn.BatchNorm2d(outputs)
        add_shortcut(self, shortcut, inputs, outputs, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + around(self, x))


class PreActivation(nn.Module):
    def __init__(self, inputs, width, stride, shortcut):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, width, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), conv(width, width, 3)
        self.changes = inputs != width or stride != 1
        if self.changes:
            layer = conv(inputs, width, 1, stride)
            setattr(self, shortcut, layer if shortcut == "convShortcut" else nn.Sequential(layer))
        self.name = shortcut

    def forward(self, x):
        a = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return y + (getattr(self, self.name)(a) if self.changes else x)


def add_shortcut(block, name, inputs, outputs, stride):
    block.name = None
    if inputs == outputs and stride == 1:
        return
    if name == "padded":
        block.name = "padding"
        block.padding = PaddedShortcut(inputs, outputs, stride)
    else:
        block.name = name
        setattr(block, name, nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)))


def around(block, x):
    return x if block.name is None else getattr(block, block.name)(x)


class ResNet(nn.Module):
    """`stages`: (width, blocks, stride) each; `imagenet` chooses the 7x7 stem with max pooling."""

    def __init__(self, make, expansion, stages, classes, stem_width, imagenet, head, final=None, stem_stride=1):
        super().__init__()
        self.imagenet, self.head, self.final = imagenet, head, final
        self.conv1 = conv(3, stem_width, 7, 2) if imagenet else conv(3, stem_width, 3, stem_stride)
        if final is None:
            self.bn1 = nn.BatchNorm2d(stem_width)
        inputs, self.count = stem_width, len(stages)
        for index, (width, blocks, stride) in enumerate(stages, 1):
            layers = []
            for block in range(blocks):
                layers.append(make(inputs, width, stride if block == 0 else 1))
                inputs = width * expansion
            setattr(self, f"layer{index}", nn.Sequential(*layers))
        if final is not None:
            setattr(self, final, nn.BatchNorm2d(inputs))
        setattr(self, head, nn.Linear(inputs, classes))

    def forward(self, x):
        x = self.conv1(x)
        if self.final is None:
            x = F.relu(self.bn1(x))
        if self.imagenet:
            x = F.max_pool2d(x, 3, 2, 1)
        for index in range(1, self.count + 1):
            x = getattr(self, f"layer{index}")(x)
        if self.final is not None:
            x = F.relu(getattr(self, self.final)(x))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return getattr(self, self.head)(x)


class WideResNet(nn.Module):
    """Keys `block1.layer.0.convShortcut.weight`; the last normalisation is `bn1`."""

    def __init__(self, stages, classes, stem_width):
        super().__init__()
        self.conv1 = conv(3, stem_width, 3)
        inputs = stem_width
        for index, (width, blocks, stride) in enumerate(stages, 1):
            layers = []
            for block in range(blocks):
                layers.append(PreActivation(inputs, width, stride if block == 0 else 1, "convShortcut"))
                inputs = width
            network_block = nn.Module()
            network_block.layer = nn.Sequential(*layers)
            setattr(self, f"block{index}", network_block)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.conv1(x)
        for block in (self.block1, self.block2, self.block3):
            x = block.layer(x)
        x = F.relu(self.bn1(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class SamePreActivation(nn.Module):
    """Padded as TensorFlow's SAME: with stride 2 only below and on the right."""

    def __init__(self, inputs, width, stride, activation):
        super().__init__()
        self.batchnorm_0, self.batchnorm_1 = nn.BatchNorm2d(inputs, momentum=0.01), nn.BatchNorm2d(width, momentum=0.01)
        self.conv_0 = nn.Conv2d(inputs, width, 3, stride, bias=False)
        self.conv_1 = conv(width, width, 3)
        if inputs != width:
            self.shortcut = conv(inputs, width, 1, stride)
        self.changes, self.activation = inputs != width, activation
        self.border = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)

    def forward(self, x):
        a = self.activation(self.batchnorm_0(x))
        y = self.conv_0(F.pad(a, self.border))
        y = self.conv_1(self.activation(self.batchnorm_1(y)))
        return y + (self.shortcut(a) if self.changes else x)


class DeepMindWideResNet(nn.Module):
    """Keys `layer.0.block.0.conv_0.weight`; the buffers `mean` and `std` normalise the input."""

    def __init__(self, stages, classes, stem_width, activation, normalised=False):
        super().__init__()
        self.normalised, self.activation = normalised, activation
        if normalised:
            self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1))
            self.register_buffer("std", torch.tensor([0.2471, 0.2435, 0.2616]).view(3, 1, 1))
        self.init_conv = conv(3, stem_width, 3)
        inputs, groups = stem_width, []
        for width, blocks, stride in stages:
            group = nn.Module()
            layers = []
            for block in range(blocks):
                layers.append(SamePreActivation(inputs, width, stride if block == 0 else 1, activation))
                inputs = width
            group.block = nn.Sequential(*layers)
            groups.append(group)
        self.layer = nn.ModuleList(groups)
        self.batchnorm = nn.BatchNorm2d(inputs, momentum=0.01)
        self.logits = nn.Linear(inputs, classes)

    def forward(self, x):
        if self.normalised:
            x = (x - self.mean) / self.std
        x = self.init_conv(x)
        for group in self.layer:
            x = group.block(x)
        x = self.activation(self.batchnorm(x))
        return self.logits(F.adaptive_avg_pool2d(x, 1).flatten(1))


def mnist_cnn(channels, hidden, classes):
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(first, second, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(second * 49, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
