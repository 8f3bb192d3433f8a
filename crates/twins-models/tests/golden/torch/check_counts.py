"""Prints the number of parameters of the published networks, which the test in src/architectures/spec.rs holds."""

import functools

import torch
import torch.nn.functional as F
import torchvision

from reference_nets import Basic, Bottleneck, DeepMindWideResNet, PreActivation, ResNet, WideResNet, mnist_cnn


def cifar(n, shortcut="padded"):
    make = functools.partial(Basic, shortcut=shortcut)
    return ResNet(make, 1, [(16, n, 1), (32, n, 2), (64, n, 2)], 10, 16, False, "linear")


def stages(blocks):
    return list(zip((64, 128, 256, 512), blocks, (1, 2, 2, 2)))


def basic(blocks, imagenet, classes):
    make = functools.partial(Basic, shortcut="downsample")
    return ResNet(make, 1, stages(blocks), classes, 64, imagenet, "fc")


def bottleneck(blocks, groups=1, group_width=64):
    make = functools.partial(Bottleneck, shortcut="downsample", groups=groups, group_width=group_width)
    return ResNet(make, 4, stages(blocks), 1000, 64, True, "fc")


def wide(depth, width):
    n = (depth - 4) // 6
    return WideResNet([(16 * width, n, 1), (32 * width, n, 2), (64 * width, n, 2)], 10, 16)


def deepmind(depth, width, activation):
    n = (depth - 4) // 6
    return DeepMindWideResNet([(16 * width, n, 1), (32 * width, n, 2), (64 * width, n, 2)], 10, 16, activation)


NETS = {
    "mnist-cnn": lambda: mnist_cnn([16, 32], 100, 10),
    "tiny-resnet": lambda: cifar(1),
    "resnet8": lambda: cifar(1),
    "resnet20": lambda: cifar(3),
    "resnet32": lambda: cifar(5),
    "resnet44": lambda: cifar(7),
    "resnet56": lambda: cifar(9),
    "resnet18": lambda: basic([2, 2, 2, 2], True, 1000),
    "resnet34": lambda: basic([3, 4, 6, 3], True, 1000),
    "resnet50": lambda: bottleneck([3, 4, 6, 3]),
    "resnet101": lambda: bottleneck([3, 4, 23, 3]),
    "resnet152": lambda: bottleneck([3, 8, 36, 3]),
    "wide-resnet50-2": lambda: bottleneck([3, 4, 6, 3], group_width=128),
    "wide-resnet50-4": lambda: bottleneck([3, 4, 6, 3], group_width=256),
    "resnext50-32x4d": lambda: bottleneck([3, 4, 6, 3], 32, 4),
    "convnext-tiny": torchvision.models.convnext_tiny,
    "resnet18-cifar": lambda: basic([2, 2, 2, 2], False, 10),
    "preact-resnet18": lambda: ResNet(
        functools.partial(PreActivation, shortcut="shortcut"), 1, stages([2, 2, 2, 2]), 10, 64, False, "linear", final="bn"
    ),
    "wrn-28-10": lambda: wide(28, 10),
    "wrn-34-10": lambda: wide(34, 10),
    "wrn-34-20": lambda: wide(34, 20),
    "wrn-70-16": lambda: wide(70, 16),
    "dm-wrn-28-10-swish": lambda: deepmind(28, 10, F.silu),
    "dm-wrn-70-16": lambda: deepmind(70, 16, F.relu),
}

for name, make in NETS.items():
    with torch.device("meta"):
        net = make()
    imagenet = getattr(net, "imagenet", False) or name == "convnext-tiny"
    classes = 1000 if imagenet else 10
    print(f'        ("{name}", {classes}, {sum(p.numel() for p in net.parameters())}),')
for name, n in ("resnet20", 3), ("resnet32", 5), ("resnet44", 7), ("resnet56", 9):
    net = cifar(n, "downsample")
    print(f'        ("{name}", {sum(p.numel() for p in net.parameters())}),  # projected')
