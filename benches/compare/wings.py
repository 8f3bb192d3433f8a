#!/usr/bin/env python3
"""Traces both wings of a TWINS-AT training in PyTorch, with the published dual batch normalisation: why and when it diverges.

    python3 benches/compare/wings.py --weights cifar_resnet20_pgd.pth --data gtsrb32/train --lr 0.1 [--seeds 0,1,2] [--clip 1] ...

The network is the robust ResNet-20 of EhanW/advrob-cifar10 with a new head; the data a folder with a folder of 32 x 32 images per class. Crops and
adversary are those of examples/studies/divergence.toml: crops after a border of 4 black pixels, PGD-5 in steps of a quarter of epsilon.
Prints a line of JSON every `--every` steps: the loss of both wings; for each weight in front of a batch normalisation its norm over the norm
that it began with (the median and the largest of all layers); for each layer, in the order of the network, the root mean square of the output of its
frozen wing over that for the first batch; the norm of the gradient. A seed ends at the first value that is not finite, and its last line says so.
`--method at` is ordinary batch normalisation on the whole batch.
"""

import argparse
import json
import math

import torch
from torch import nn
from torch.nn import functional

from autoattack import network, samples


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--method", choices=["twins-at", "at"], default="twins-at")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--lambda", type=float, default=1.0, dest="weight", help="of the frozen wing's loss")
    parser.add_argument("--clip", type=float, default=math.inf, help="largest norm of the gradient")
    parser.add_argument("--warmup", type=int, default=0, help="steps over which the learning rate rises")
    parser.add_argument("--weight-decay", type=float, default=1e-5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=134)
    parser.add_argument("--epsilon", type=float, default=4 / 255)
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


class TwoWings(nn.Module):
    """A frozen wing for the first half of a training batch, an adaptive one for the rest and in evaluation."""

    def __init__(self, norm):
        super().__init__()
        self.adaptive = norm
        self.frozen = nn.BatchNorm2d(norm.num_features)
        self.frozen.load_state_dict(norm.state_dict())
        self.first = self.ratio = None

    def forward(self, x):
        if not self.training:
            return self.adaptive(x)
        half = len(x) // 2
        frozen = self.frozen.eval()(x[:half])
        with torch.no_grad():
            scale = frozen.square().mean().sqrt().item()
            self.first = self.first or scale
            self.ratio = scale / self.first
        return torch.cat([frozen, self.adaptive(x[half:])])


def with_two_wings(module):
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, TwoWings(child))
        else:
            with_two_wings(child)


def rounded(value, digits=3):
    """JSON has no numbers that are not finite."""
    return round(value, digits) if math.isfinite(value) else None


def cropped(x, border=4):
    x = functional.pad(x, (border,) * 4)
    size = x.shape[-1] - 2 * border
    corners = torch.randint(0, 2 * border + 1, (len(x), 2)).tolist()
    return torch.stack([image[:, top : top + size, left : left + size] for image, (top, left) in zip(x, corners)])


def adversarial(net, x, y, epsilon, steps=5):
    net.eval().requires_grad_(False)
    point = (x + torch.empty_like(x).uniform_(-epsilon, epsilon)).clamp(0, 1)
    for _ in range(steps):
        point.requires_grad_()
        (gradient,) = torch.autograd.grad(functional.cross_entropy(net(point), y, reduction="sum"), point)
        point = (point.detach() + epsilon / 4 * gradient.sign()).clamp(0, 1)
        point = torch.min(torch.max(point, x - epsilon), x + epsilon)
    net.requires_grad_(True).train()
    return point


def train(options, seed, pixels, labels):
    torch.manual_seed(seed)
    net = network("resnet20", options.weights)
    if options.method == "twins-at":
        with_two_wings(net)
    net.fc = nn.Linear(64, int(labels.max()) + 1)
    weights = {name: p for name, p in net.named_parameters() if p.dim() == 4}
    norms = {name: p.norm().item() for name, p in weights.items()}
    optimiser = torch.optim.SGD(net.parameters(), lr=options.lr, momentum=0.9, weight_decay=options.weight_decay)
    order = []
    for step in range(1, options.steps + 1):
        if len(order) < options.batch:
            order = torch.randperm(len(labels)).tolist()
        chosen, order = order[: options.batch], order[options.batch :]
        x, y = cropped(pixels[chosen]), labels[chosen]
        for group in optimiser.param_groups:
            group["lr"] = options.lr * min(1, step / max(1, options.warmup))
        point = adversarial(net, x, y, options.epsilon)
        logits, half = net(point), len(y) // 2
        adaptive = frozen = functional.cross_entropy(logits[half:], y[half:])
        if options.method == "twins-at":
            frozen = functional.cross_entropy(logits[:half], y[:half])
            loss = options.weight * frozen + adaptive
        else:
            loss = functional.cross_entropy(logits, y)
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), options.clip).item()
        growth = sorted(p.norm().item() / norms[name] for name, p in weights.items())
        line = {
            "seed": seed,
            "step": step,
            "frozen": rounded(frozen.item(), 4),
            "adaptive": rounded(adaptive.item(), 4),
            "weights": [rounded(growth[len(growth) // 2]), rounded(growth[-1])],
            "gradient": rounded(norm),
        }
        ratios = [module.ratio for module in net.modules() if isinstance(module, TwoWings)]
        if ratios:
            line["activations"] = [rounded(value) for value in ratios]
        diverged = not math.isfinite(norm) or not math.isfinite(loss.item())
        if diverged or step % options.every == 0 or step == 1:
            print(json.dumps(line | ({"diverged": True} if diverged else {})), flush=True)
        if diverged:
            return
        optimiser.step()


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    pixels, labels = map(torch.tensor, samples(options.data, None))
    pixels = pixels.float() / 255
    for seed in map(int, options.seeds.split(",")):
        train(options, seed, pixels, labels)


if __name__ == "__main__":
    main()
