#!/usr/bin/env python3
"""The published AutoAttack (PyTorch) and this library's, one after the other on the same images and threads.

    pip download --no-deps pyautoattack && unzip pyautoattack-*.whl -d reference
    cargo build --release --example evaluate
    python3 benches/compare/autoattack.py --reference reference --data MNIST_DIR --weights mnist_pgd_robust.pth

Prints what each stage leaves standing, the images run through the model with and without a gradient, and wall and CPU
time of both. The model is the MNIST network of the architecture `mnist-cnn`, or with `--arch resnet20` the robust CIFAR
network of EhanW/advrob-cifar10; `--data` is then a folder with a folder of images per class, of which every so many-th
is taken, as PNG, so that both read the same pixels.

The reference is a folder that holds the module `pyautoattack` (0.2.0, the authors' package) or `autoattack` (a checkout
of their repository). `torchattacks` is no reference: its APGD and FAB make 10 steps in place of the published 100, and
it is refused. Any package is checked for the published 100 steps and 5000 queries before it runs.
"""

import argparse
import gzip
import importlib
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", help="folder to import the reference from [default: what is installed]")
    parser.add_argument("--evaluate", default="target/release/examples/evaluate", help="this library's example")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--arch", default="mnist-cnn", choices=["mnist-cnn", "resnet20"])
    parser.add_argument("--data", required=True, help="folder with MNIST's test files, plain or .gz, or with images")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--norm", default="linf", choices=["linf", "l2", "l1"])
    parser.add_argument("--epsilon", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, help="of both [default: all images for the reference, ours for ours]")
    parser.add_argument("--steps", type=int, help="shortens APGD and FAB of both, for a trial")
    parser.add_argument("--queries", type=int, help="shortens Square of both, for a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="write the figures, and which images stand, to this file")
    return parser.parse_args()


def idx(folder, name):
    """The array in an IDX file of unsigned bytes."""
    import numpy

    path = Path(folder) / name
    data = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * dimensions).reshape(shape)


def samples(folder, count):
    """The images, [n, channels, height, width] in bytes, and labels of a folder of images."""
    import numpy
    from PIL import Image

    classes = sorted(path for path in Path(folder).iterdir() if path.is_dir())
    files = [(file, label) for label, path in enumerate(classes) for file in sorted(path.iterdir())]
    images = numpy.stack([numpy.asarray(Image.open(file).convert("RGB")) for file, _ in files[:count]])
    return images.transpose(0, 3, 1, 2), numpy.array([label for _, label in files[:count]])


def thinned(folder, count, to):
    """Writes `count` of the images of a folder, evenly spread, as PNG to another one."""
    from PIL import Image

    files = sorted(path for path in Path(folder).glob("*/*") if path.is_file())
    if len(files) < count:
        sys.exit(f"{folder} has {len(files)} images in folders of classes, fewer than --images {count}")
    for file in [files[number * len(files) // count] for number in range(count)]:
        path = Path(to) / file.parent.name / f"{file.stem}.png"
        path.parent.mkdir(exist_ok=True)
        Image.open(file).convert("RGB").save(path)


def network(arch, path):
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.conv_1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.bn_1 = nn.BatchNorm2d(width)
            self.conv_2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn_2 = nn.BatchNorm2d(width)
            self.downsample = nn.Identity()
            if stride != 1:
                conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))

        def forward(self, x):
            y = self.bn_2(self.conv_2(self.bn_1(self.conv_1(x)).relu()))
            return (y + self.downsample(x)).relu()

    class ResNet20(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn_1 = nn.BatchNorm2d(16)
            inputs = 16
            for stage, width in enumerate([16, 32, 64], 1):
                blocks = [Block(inputs if i == 0 else width, width, 2 if i == 0 and stage > 1 else 1) for i in range(3)]
                self.add_module(f"stage_{stage}", nn.Sequential(*blocks))
                inputs = width
            self.fc = nn.Linear(64, 10)
            self.mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
            self.std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

        def forward(self, x):
            x = self.bn_1(self.conv_1((x - self.mean) / self.std)).relu()
            return self.fc(self.stage_3(self.stage_2(self.stage_1(x))).mean((2, 3)))

    if arch == "resnet20":
        net = ResNet20()
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return net.eval().requires_grad_(False)
    layers = [
        nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10),
    ]
    net = nn.Sequential(*layers)
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval().requires_grad_(False)


class Counted:
    """Counts the images that pass, and those of which a gradient is wanted."""

    def __init__(self, net):
        self.net, self.forwards, self.backwards = net, 0, 0

    def __call__(self, images):
        import torch

        self.forwards += len(images)
        if images.requires_grad and torch.is_grad_enabled():
            self.backwards += len(images)
        return self.net(images)

    # The reference looks at these of a module.
    def eval(self):
        return self

    @property
    def training(self):
        return False


def published(folder):
    """The reference's class, and what it is called."""
    if folder:
        sys.path.insert(0, folder)
    for name in ["pyautoattack", "autoattack"]:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        return module.AutoAttack, f"{name}, {Path(module.__file__).parent}"
    sys.exit(f"no module `pyautoattack` or `autoattack` in {folder or 'the installed packages'}")


def cpu_seconds(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def run_reference(options):
    import torch

    torch.set_num_threads(options.threads)
    if options.arch == "mnist-cnn":
        images = idx(options.data, "t10k-images-idx3-ubyte")[: options.images, None]
        labels = idx(options.data, "t10k-labels-idx1-ubyte")[: options.images]
    else:
        images, labels = samples(options.data, options.images)
    images = torch.from_numpy(images.copy()).float().div(255)
    labels = torch.from_numpy(labels.copy()).long()
    counted = Counted(network(options.arch, options.weights))
    reference, name = published(options.reference)
    norm = {"linf": "Linf", "l2": "L2", "l1": "L1"}[options.norm]
    attack = reference(counted, norm=norm, eps=options.epsilon, version="standard", seed=options.seed, device="cpu")
    found = [attack.apgd.n_iter, attack.apgd_targeted.n_iter, attack.fab.n_iter, attack.square.n_queries]
    if found != [100, 100, 100, 5000]:
        sys.exit(f"{name} is not the published AutoAttack: steps of APGD, APGD-T and FAB, queries of Square: {found}")
    if options.steps:
        attack.apgd.n_iter = attack.apgd_targeted.n_iter = attack.fab.n_iter = options.steps
        # What its phases in L1 divide.
        attack.apgd.n_iter_orig = attack.apgd_targeted.n_iter_orig = options.steps
    if options.queries:
        attack.square.n_queries = options.queries

    stages = []
    begin, cpu = time.perf_counter(), cpu_seconds(resource.RUSAGE_SELF)
    standing = torch.ones(len(images), dtype=torch.bool)
    # Stage by stage on the samples that stand, which is what its own evaluation does, so that each can be counted.
    with torch.no_grad():
        right = counted(images).argmax(1) == labels
    clean = int(right.sum())
    standing &= right
    for stage in list(attack.attacks_to_run):
        before = (counted.forwards, counted.backwards, time.perf_counter(), cpu_seconds(resource.RUSAGE_SELF))
        attack.attacks_to_run = [stage]
        indices = standing.nonzero().squeeze(1)
        batch = options.batch_size or len(indices)
        adversarial = call(attack, images[indices], labels[indices], batch)
        with torch.no_grad():
            standing[indices] = counted.net(adversarial).argmax(1) == labels[indices]
        stages.append({
            "attack": stage,
            "robust": int(standing.sum()),
            "standing": standing.nonzero().squeeze(1).tolist(),
            "forwards": counted.forwards - before[0],
            "backwards": counted.backwards - before[1],
            "seconds": time.perf_counter() - before[2],
            "cpu_seconds": cpu_seconds(resource.RUSAGE_SELF) - before[3],
        })
        done = {name: value for name, value in stages[-1].items() if name != "standing"}
        print(f"reference: {done}", file=sys.stderr, flush=True)
    return {
        "name": name,
        "clean": clean,
        "stages": stages,
        "forwards": counted.forwards,
        "backwards": counted.backwards,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": cpu_seconds(resource.RUSAGE_SELF) - cpu,
    }


def call(attack, images, labels, batch):
    """The package and the repository name the batch size differently, and return different things."""
    # The package divides by the batch size.
    if len(images) == 0:
        return images
    try:
        result = attack.run_standard_evaluation(images, labels, batch_size=batch)
    except TypeError:
        result = attack.run_standard_evaluation(images, labels, bs=batch)
    return result[0] if isinstance(result, tuple) else result


def run_ours(options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.json")
        command = [
            options.evaluate, "--weights", options.weights, "--arch", options.arch,
            "--data", f"{'mnist' if options.arch == 'mnist-cnn' else 'folder'}:{options.data}",
            "--limit", f"first:{options.images}", "--attack", "autoattack", "--norm", options.norm, "--epsilon", options.epsilon,
            "--threads", options.threads, "--seed", options.seed, "--json", path,
        ]
        for name, value in [("--batch-size", options.batch_size), ("--steps", options.steps), ("--queries", options.queries)]:
            command += [name, value] if value else []
        begin, cpu = time.perf_counter(), cpu_seconds(resource.RUSAGE_CHILDREN)
        subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)
        report = json.load(open(path))
        return {
            "name": "burn-twins",
            "clean": report["clean"]["correct"],
            "stages": report["stages"],
            "samples": report["samples"],
            "forwards": report["forwards"],
            "backwards": report["backwards"],
            "seconds": time.perf_counter() - begin,
            "cpu_seconds": cpu_seconds(resource.RUSAGE_CHILDREN) - cpu,
        }


def table(options, reference, ours):
    print(f"{options.images} images, {options.norm}, epsilon {options.epsilon}, {options.threads} threads")
    print(f"reference: {reference['name']}")
    row = "{:<10} {:>9} {:>9} {:>11} {:>11} {:>11} {:>11} {:>9} {:>9} {:>7}".format
    print(row("after", "robust %", "ours", "forwards", "ours", "gradients", "ours", "seconds", "ours", "ratio"))
    share = lambda robust: f"{100 * robust / options.images:.2f}"
    print(row("clean", share(reference["clean"]), share(ours["clean"]), *[""] * 7))
    names = ["forwards", "backwards", "seconds"]
    for left, right in zip(reference["stages"], ours["stages"]):
        work = [f"{side[name]:.0f}" for name in names for side in (left, right)]
        ratio = f"{right['seconds'] / left['seconds']:.2f}"
        print(row(left["attack"], share(left["robust"]), share(right["robust"]), *work, ratio))
    for name in [*names, "cpu_seconds"]:
        print(f"all {name}: {reference[name]:.0f}, ours {ours[name]:.0f}, ratio {ours[name] / reference[name]:.3f}")


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        if options.arch == "resnet20":
            thinned(options.data, options.images, folder)
            options.data = folder
        ours = run_ours(options)
        reference = run_reference(options)
    table(options, reference, ours)
    if options.json:
        Path(options.json).write_text(json.dumps({"reference": reference, "ours": ours}, indent=1))


if __name__ == "__main__":
    main()
