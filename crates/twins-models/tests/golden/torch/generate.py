"""Writes the small weight files and the logits that PyTorch computes with them.

    python3 generate.py        (PyTorch 2.6, torchvision 0.21 for ConvNeXt, safetensors 0.5 or later; CPU; a few seconds)

Widths and depths are far below the published ones, so that all files together stay below 380 KB;
the layers, their order and the key names are the published ones.
"""

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from reference_nets import Basic, Bottleneck, DeepMindWideResNet, PreActivation, ResNet, WideResNet, mnist_cnn

HERE = Path(__file__).parent
CLASSES = 5


def images(shape):
    """Pseudo-random pixels in [0, 1) that the tests compute in the same way."""
    count = torch.Size(shape).numel()
    index = torch.arange(count, dtype=torch.int64)
    hashed = (index * 2654435761 + 12345) % 2**32
    return ((hashed >> 8).to(torch.float32) / 2**24).reshape(shape)


def residual(make, expansion, imagenet, head):
    stages = [(4, 2, 1), (6, 1, 2), (8, 1, 2), (8, 1, 2)]
    return ResNet(make, expansion, stages, CLASSES, 4, imagenet, head)


def bottleneck(groups, group_width):
    make = functools.partial(Bottleneck, shortcut="downsample", groups=groups, group_width=group_width)
    stages = [(2, 2, 1), (4, 1, 2), (4, 1, 2), (6, 1, 2)]
    return ResNet(make, 4, stages, CLASSES, 4, True, "fc")


def nets():
    yield "mnist_cnn", mnist_cnn([2, 4], 8, CLASSES), (4, 1, 28, 28)
    padded = functools.partial(Basic, shortcut="padded")
    yield "cifar", ResNet(padded, 1, [(4, 2, 1), (8, 2, 2), (14, 1, 2)], CLASSES, 4, False, "linear"), (4, 3, 16, 16)
    down = functools.partial(Basic, shortcut="downsample")
    yield "basic", residual(down, 1, True, "fc"), (4, 3, 64, 64)
    short = functools.partial(Basic, shortcut="shortcut")
    yield "small_stem", residual(short, 1, False, "linear"), (4, 3, 16, 16)
    yield "bottleneck", bottleneck(1, 64), (4, 3, 64, 64)
    yield "wide_bottleneck", bottleneck(1, 128), (4, 3, 64, 64)
    yield "grouped", bottleneck(2, 32), (4, 3, 64, 64)
    pre = functools.partial(PreActivation, shortcut="shortcut")
    stages = [(4, 2, 1), (6, 1, 2), (8, 1, 2), (8, 1, 2)]
    yield "preact", ResNet(pre, 1, stages, CLASSES, 4, False, "linear", final="bn"), (4, 3, 16, 16)
    yield "wide", WideResNet([(8, 2, 1), (10, 2, 2), (12, 1, 2)], CLASSES, 4), (4, 3, 16, 16)
    stages = [(4, 1, 1), (8, 1, 2), (12, 1, 2)]
    yield "strided", ResNet(padded, 1, stages, CLASSES, 4, False, "linear", stem_stride=2), (4, 3, 16, 16)
    stages = [(6, 1, 1), (8, 2, 2), (10, 1, 2)]
    yield "deepmind", DeepMindWideResNet(stages, CLASSES, 4, F.silu), (4, 3, 16, 16)
    # The names of chenyaofo/pytorch-cifar-models.
    stages = [(4, 2, 1), (8, 2, 2), (14, 1, 2)]
    yield "projected", ResNet(down, 1, stages, CLASSES, 4, False, "fc"), (4, 3, 16, 16)
    stages = [CNBlockConfig(4, 6, 1), CNBlockConfig(6, 8, 2), CNBlockConfig(8, 10, 1), CNBlockConfig(10, None, 1)]
    yield "convnext", ConvNeXt(stages, num_classes=CLASSES), (4, 3, 64, 64)


def randomise(net, generator):
    """Weights and statistics that no layer starts from, so that none can be left out unnoticed."""
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif name.endswith("running_mean"):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
        elif value.dim() == 1:
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3 + (1.0 if name.endswith("weight") else 0.0))
        elif value.dim() > 1:
            fan_in = value[0].numel()
            value.copy_(torch.randn(value.shape, generator=generator) * (2.0 / fan_in) ** 0.5)


def main():
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(20230521)
    expected = {}
    with torch.no_grad():
        for name, net, shape in nets():
            randomise(net, generator)
            state = {key: value.clone() for key, value in net.state_dict().items()}
            save_file(state, HERE / f"{name}.safetensors")
            batch = images(shape)
            expected[f"{name}/eval"] = net.eval()(batch)
            expected[f"{name}/train"] = net.train()(batch)
            for key, value in net.state_dict().items():
                if "running" in key:
                    expected[f"{name}/after/{key}"] = value.clone()
        small = images((1, 3, 4, 4))
        expected["upsample/7x9"] = F.interpolate(small, size=(7, 9), mode="nearest")
        expected["upsample/12x8"] = F.interpolate(small, size=(12, 8), mode="nearest")
    save_file(expected, HERE / "expected.safetensors")


if __name__ == "__main__":
    main()
