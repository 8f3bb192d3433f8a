#!/usr/bin/env python3
"""Adversarial training in PyTorch and in this library: the same work, by turns, on the same threads.

    cargo bench --bench training --no-run
    python3 benches/compare/training.py --bench target/release/deps/training-HASH

For each network and work, prints the median seconds of both and the median ratio (ours / PyTorch's, taken turn by turn); how much of what
the machine reaches in a large matrix product both reach in the convolutions, if these were all they did; and the largest memory of
both processes. PyTorch runs in both of its memory formats; the faster one counts. Batch normalisation is the published dual one: two
layers, each with half of the batch.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="this library's benchmark, the program that cargo bench runs")
    parser.add_argument(
        "--networks",
        default="resnet8,resnet20,resnet18-cifar",
        help="comma-separated; NAME:SIZE:BATCH:CLASSES for other sizes than those of benches/training.rs",
    )
    parser.add_argument("--works", default="forward,pgd-10,update,twins-at,trades", help="comma-separated")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reference", choices=["only"], help=argparse.SUPPRESS)
    return parser.parse_args()


# Images, their size and the classes of each network, as in benches/training.rs.
SIZES = {
    "resnet8": (64, 32, 10),
    "resnet20": (64, 32, 10),
    "resnet18-cifar": (64, 32, 10),
    "wrn-28-10": (16, 32, 10),
    "resnet50": (8, 224, 100),
}


def sizes(network):
    """The network's name, the number of images, their size and the classes."""
    if ":" not in network:
        return network, *SIZES[network]
    name, size, batch, classes = network.split(":")
    return name, int(batch), int(size), int(classes)


def networks():
    import torch
    from torch import nn
    from torch.nn import functional

    class Norm(nn.Module):
        """Two layers, each with half of a training batch; in evaluation the adaptive one alone."""

        def __init__(self, channels):
            super().__init__()
            self.adaptive = nn.BatchNorm2d(channels)
            self.frozen = nn.BatchNorm2d(channels)
            self.frozen.eval()

        def train(self, mode=True):
            self.adaptive.train(mode)
            self.training = mode
            return self

        def forward(self, x):
            if not self.training:
                return self.adaptive(x)
            if not self.split:
                return self.adaptive(x)
            half = len(x) // 2
            return torch.cat([self.frozen(x[:half]), self.adaptive(x[half:])])

        split = False

    def conv(inputs, outputs, kernel, stride=1):
        return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)

    class Padded(nn.Module):
        def __init__(self, added, stride):
            super().__init__()
            self.added, self.stride = added, stride

        def forward(self, x):
            before = self.added // 2
            return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))

    def shortcut(inputs, outputs, stride, padded):
        if inputs == outputs and stride == 1:
            return nn.Identity()
        if padded:
            return Padded(outputs - inputs, stride)
        return nn.Sequential(conv(inputs, outputs, 1, stride), Norm(outputs))

    class Basic(nn.Module):
        def __init__(self, inputs, width, stride, padded):
            super().__init__()
            self.conv1, self.bn1 = conv(inputs, width, 3, stride), Norm(width)
            self.conv2, self.bn2 = conv(width, width, 3), Norm(width)
            self.shortcut = shortcut(inputs, width, stride, padded)

        def forward(self, x):
            y = functional.relu(self.bn1(self.conv1(x)))
            return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    class Bottleneck(nn.Module):
        def __init__(self, inputs, width, stride, padded):
            super().__init__()
            self.conv1, self.bn1 = conv(inputs, width, 1), Norm(width)
            self.conv2, self.bn2 = conv(width, width, 3, stride), Norm(width)
            self.conv3, self.bn3 = conv(width, 4 * width, 1), Norm(4 * width)
            self.shortcut = shortcut(inputs, 4 * width, stride, padded)

        def forward(self, x):
            y = functional.relu(self.bn1(self.conv1(x)))
            y = functional.relu(self.bn2(self.conv2(y)))
            return functional.relu(self.bn3(self.conv3(y)) + self.shortcut(x))

    class PreActivation(nn.Module):
        def __init__(self, inputs, width, stride, padded):
            super().__init__()
            self.bn1, self.conv1 = Norm(inputs), conv(inputs, width, 3, stride)
            self.bn2, self.conv2 = Norm(width), conv(width, width, 3)
            self.shortcut = None if inputs == width and stride == 1 else conv(inputs, width, 1, stride)

        def forward(self, x):
            activated = functional.relu(self.bn1(x))
            y = self.conv2(functional.relu(self.bn2(self.conv1(activated))))
            return y + (x if self.shortcut is None else self.shortcut(activated))

    class Net(nn.Module):
        def __init__(self, block, widths, blocks, classes, stem=None, padded=False, growth=1):
            super().__init__()
            pre = block is PreActivation
            first = stem or widths[0]
            if stem == 64 and block is Bottleneck:
                self.stem = nn.Sequential(conv(3, 64, 7, 2), Norm(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
            elif pre:
                self.stem = conv(3, first, 3)
            else:
                self.stem = nn.Sequential(conv(3, first, 3), Norm(first), nn.ReLU())
            layers, inputs = [], first
            for stage, width in enumerate(widths):
                for index in range(blocks[stage] if isinstance(blocks, list) else blocks):
                    stride = 2 if stage > 0 and index == 0 else 1
                    layers.append(block(inputs, width, stride, padded))
                    inputs = width * growth
            if pre:
                layers += [Norm(inputs), nn.ReLU()]
            self.layers = nn.Sequential(*layers)
            self.head = nn.Linear(inputs, classes)

        def forward(self, x):
            return self.head(self.layers(self.stem(x)).mean((2, 3)))

    def build(name, classes):
        torch.manual_seed(0)
        return {
            "resnet8": lambda: Net(Basic, [16, 32, 64], 1, classes, padded=True),
            "resnet20": lambda: Net(Basic, [16, 32, 64], 3, classes, padded=True),
            "resnet18-cifar": lambda: Net(Basic, [64, 128, 256, 512], 2, classes),
            "wrn-28-10": lambda: Net(PreActivation, [160, 320, 640], 4, classes, stem=16),
            "resnet50": lambda: Net(Bottleneck, [64, 128, 256, 512], [3, 4, 6, 3], classes, stem=64, growth=4),
        }[name]()

    return build, Norm


class Reference:
    """The same work as benches/training.rs, in PyTorch."""

    def __init__(self, name, threads, last):
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        build, self.norm = networks()
        name, batch, size, classes = sizes(name)
        self.format = torch.channels_last if last else torch.contiguous_format
        self.net = build(name, classes).to(memory_format=self.format)
        self.images = torch.rand(batch, 3, size, size).contiguous(memory_format=self.format)
        self.labels = torch.arange(batch) % classes

    def multiplications(self):
        """Of one forward pass, in convolutions and the head."""
        torch, found = self.torch, []

        def count(layer, _, output):
            inputs = layer.weight[0].numel()
            found.append(output.numel() * inputs)

        kinds = (torch.nn.Conv2d, torch.nn.Linear)
        hooks = [layer.register_forward_hook(count) for layer in self.net.modules() if isinstance(layer, kinds)]
        with torch.no_grad():
            self.net.eval()(self.images)
        for hook in hooks:
            hook.remove()
        return sum(found)

    def product(self, size=2048):
        """Multiplications in a second of a large matrix product."""
        one, two = self.torch.rand(size, size), self.torch.rand(size, size)
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            self.torch.mm(one, two)
            seconds.append(time.perf_counter() - start)
        return size**3 / min(seconds)

    def run(self, work):
        if work == "multiplications":
            return self.multiplications()
        if work == "product":
            return self.product()
        start = time.perf_counter()
        if work == "forward":
            self.net.eval()
            with self.torch.no_grad():
                self.net(self.images)
        elif work.startswith("pgd-"):
            self.adversarial(int(work[4:]))
        elif work == "update":
            self.update(self.images, None)
        elif work == "twins-at":
            self.update(self.adversarial(10), None)
        elif work == "trades":
            self.update(self.adversarial(10), self.images)
        return time.perf_counter() - start

    def adversarial(self, steps, epsilon=8 / 255, length=2 / 255):
        torch = self.torch
        self.net.eval().requires_grad_(False)
        point = self.images + torch.empty_like(self.images).uniform_(-epsilon, epsilon)
        point = point.clamp(0, 1)
        for _ in range(steps):
            point.requires_grad_()
            loss = torch.nn.functional.cross_entropy(self.net(point), self.labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, point)
            with torch.no_grad():
                point = point + length * gradient.sign()
                point = torch.min(torch.max(point, self.images - epsilon), self.images + epsilon).clamp(0, 1)
        self.net.requires_grad_(True)
        return point.detach()

    def update(self, adversarial, clean):
        torch, functional = self.torch, self.torch.nn.functional
        self.norm.split = clean is None
        self.net.train()
        optimiser = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
        optimiser.zero_grad()
        if clean is None:
            logits, half = self.net(adversarial), len(adversarial) // 2
            loss = functional.cross_entropy(logits[:half], self.labels[:half])
            loss = loss + functional.cross_entropy(logits[half:], self.labels[half:])
        else:
            natural, logits = self.net(clean), self.net(adversarial)
            loss = functional.cross_entropy(natural, self.labels)
            targets = natural.softmax(1)
            loss = loss + 6 * functional.kl_div(logits.log_softmax(1), targets, reduction="batchmean")
        loss.backward()
        optimiser.step()


def reference(options):
    """Runs what is asked for on standard input, as the benchmark does with --serve."""
    current, run = None, None
    for line in sys.stdin:
        name, work = line.split()
        name, last = name.rsplit(":", 1)
        if current != (name, last):
            current, run = (name, last), Reference(name, options.threads, last == "last")
        print(run.run(work), flush=True)


class Served:
    def __init__(self, command, threads):
        import os

        environment = dict(os.environ, TWINS_DEVICES="cpu", RAYON_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, name, work):
        self.process.stdin.write(f"{name} {work}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def peak_mib(self):
        """The largest resident size so far."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return float("nan")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def passes(work):
    """How many times the multiplications of a forward pass a work makes: as many again for each of a layer's gradients."""
    steps = int(work[4:]) if work.startswith("pgd-") else {"twins-at": 10, "trades": 10}.get(work, 0)
    trained = {"update": 1, "twins-at": 1, "trades": 2}.get(work, 0)
    return 2 * steps + 3 * trained + (work == "forward")


def main():
    options = arguments()
    if options.reference:
        return reference(options)
    print(
        f"{'network':<16}{'work':<10}{'ours':>9}{'PyTorch':>9}{'ratio':>8}"
        f"{'share':>8}{'PyTorch':>9}{'MiB':>8}{'PyTorch':>9}"
    )
    for name in options.networks.split(","):
        for work in options.works.split(","):
            ours = Served([options.bench, "--serve"], options.threads)
            mine = [sys.executable, __file__, "--bench", options.bench, "--reference", "only"]
            theirs = {
                form: Served([*mine, "--threads", str(options.threads)], options.threads) for form in ["first", "last"]
            }
            # Warms up, and finds PyTorch's faster format.
            ours.run(name, work)
            for form, served in theirs.items():
                served.run(f"{name}:{form}", work)
            tried = {form: served.run(f"{name}:{form}", work) for form, served in theirs.items()}
            form = min(tried, key=tried.get)
            pairs = [
                (ours.run(name, work), theirs[form].run(f"{name}:{form}", work)) for _ in range(options.turns)
            ]
            own, other = (statistics.median(column) for column in zip(*pairs))
            ratio = statistics.median(one / two for one, two in pairs)
            memory = (ours.peak_mib(), theirs[form].peak_mib())
            multiplications = passes(work) * theirs[form].run(f"{name}:{form}", "multiplications")
            reached = multiplications / theirs[form].run(f"{name}:{form}", "product")
            print(
                f"{name:<16}{work:<10}{own:>9.4f}{other:>9.4f}{ratio:>8.2f}"
                f"{reached / own:>8.2f}{reached / other:>9.2f}{memory[0]:>8.0f}{memory[1]:>9.0f}",
                flush=True,
            )
            for served in [ours, *theirs.values()]:
                served.close()


if __name__ == "__main__":
    main()
