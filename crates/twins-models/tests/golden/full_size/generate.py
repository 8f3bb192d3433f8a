"""Writes what PyTorch computes with the published networks at their full size.

    python3 generate.py        (PyTorch 2.6, torchvision 0.21; CPU; a few minutes and 4 GB)

The weights are a hash of the entry's name and the value's index, which the test in src/architectures/full_size.rs computes alike, so
that none are stored: expected.safetensors holds the logits alone, and each network's number of parameters as PyTorch
counts them. The ImageNet networks are torchvision's own.
"""

import functools
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
import torchvision.models as tv
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "torch"))
import reference_nets as own  # noqa: E402
from generate import images  # noqa: E402

STAGES = [(64, 2, 1), (128, 2, 2), (256, 2, 2), (512, 2, 2)]


def cifar(n, shortcut="padded", head="linear"):
    block = functools.partial(own.Basic, shortcut=shortcut)
    return own.ResNet(block, 1, [(16, n, 1), (32, n, 2), (64, n, 2)], 10, 16, False, head)


def projected(n):
    """The names of chenyaofo/pytorch-cifar-models."""
    return cifar(n, "downsample", "fc")


def wide(depth, width):
    n = (depth - 4) // 6
    return [(16 * width, n, 1), (32 * width, n, 2), (64 * width, n, 2)]


NETS = {
    "resnet20": lambda: cifar(3),
    "resnet32": lambda: cifar(5),
    "resnet44": lambda: cifar(7),
    "resnet56": lambda: cifar(9),
    "resnet20+projected": lambda: projected(3),
    "resnet32+projected": lambda: projected(5),
    "resnet44+projected": lambda: projected(7),
    "resnet56+projected": lambda: projected(9),
    "resnet18": tv.resnet18,
    "resnet34": tv.resnet34,
    "resnet50": tv.resnet50,
    "resnet101": tv.resnet101,
    "resnet152": tv.resnet152,
    "wide-resnet50-2": tv.wide_resnet50_2,
    "wide-resnet50-4": lambda: tv.ResNet(tv.resnet.Bottleneck, [3, 4, 6, 3], width_per_group=64 * 4),
    "resnext50-32x4d": tv.resnext50_32x4d,
    "convnext-tiny": tv.convnext_tiny,
    "resnet18-cifar": lambda: own.ResNet(
        functools.partial(own.Basic, shortcut="shortcut"), 1, STAGES, 10, 64, False, "linear"
    ),
    "preact-resnet18": lambda: own.ResNet(
        functools.partial(own.PreActivation, shortcut="shortcut"), 1, STAGES, 10, 64, False, "linear", final="bn"
    ),
    "wrn-28-10": lambda: own.WideResNet(wide(28, 10), 10, 16),
    "wrn-34-10": lambda: own.WideResNet(wide(34, 10), 10, 16),
    "wrn-70-16": lambda: own.WideResNet(wide(70, 16), 10, 16),
    "dm-wrn-28-10-swish": lambda: own.DeepMindWideResNet(wide(28, 10), 10, 16, F.silu),
}


def uniform(name, count):
    """Hashes in [0, 1): 32-bit arithmetic, the finaliser of MurmurHash3."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) % 2**32
    x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(0x9E3779B1) + numpy.uint32(seed)
    x ^= x >> numpy.uint32(16)
    x *= numpy.uint32(0x85EBCA6B)
    x ^= x >> numpy.uint32(13)
    x *= numpy.uint32(0xC2B2AE35)
    x ^= x >> numpy.uint32(16)
    return (x >> numpy.uint32(8)).astype(numpy.float64) / 2**24


def fill(net):
    """Weights of variance 2 / fan-in; small gammas, so that deep networks stay within float32."""
    for name, value in net.state_dict().items():
        leaf = name.rsplit(".", 1)[1]
        if leaf == "num_batches_tracked":
            continue
        u = uniform(name, value.numel())
        if value.dim() > 1:
            fan_in = value[0].numel()
            u = (2 * u - 1) * (6 / fan_in) ** 0.5
        elif leaf == "running_var":
            u = 0.5 + u
        elif leaf == "weight":
            u = 0.2 + 0.4 * u
        else:
            u = 0.4 * u - 0.2
        value.copy_(torch.from_numpy(u.astype(numpy.float32)).reshape(value.shape))


def main():
    expected, counts = {}, {}
    for name, make in NETS.items():
        net = make().eval()
        counts[name] = str(sum(value.numel() for value in net.parameters()))
        classes = net.state_dict()[list(net.state_dict())[-1]].numel()
        side = 224 if classes == 1000 else 32
        with torch.no_grad():
            fill(net)
            expected[name] = net(images((1, 3, side, side)))[0].clone()
        logits = expected[name]
        print(name, counts[name], logits.std().item(), logits.abs().max().item(), flush=True)
        assert logits.isfinite().all()
    save_file(expected, HERE / "expected.safetensors", metadata=counts)


if __name__ == "__main__":
    main()
