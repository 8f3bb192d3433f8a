#!/usr/bin/env python3
"""Distances that the references of the minimum-norm attacks find on real images (see README.md).

    pip install adv-lib==0.2.8 foolbox==3.3.4 torch==2.6.0 torchvision==0.21.0 safetensors numpy
    python3 generate.py CHECKOUTS --weights mnist_pgd_robust.pth --data MNIST_DIR [--write]

Prints, for each case, how many of the images that are classified rightly were led over the boundary, the median distance
(an image that was not counts as infinitely far), and the seconds. With --write, writes `mnist_minimum_norm.safetensors`.
"""

import argparse
import gzip
import importlib
import math
import struct
import sys
import time
from pathlib import Path
from unittest import mock

# adv-lib imports its plotting client whether it is used or not.
sys.modules.setdefault("visdom", mock.Mock())

import adv_lib.attacks
import foolbox
import numpy
import torch
from safetensors.numpy import save_file

IMAGES = 200
NORMS = {"l0": 0, "l1": 1, "l2": 2, "linf": math.inf}


def imported(folder, module):
    """The module of a checkout; its siblings are found while it is imported."""
    with mock.patch.object(sys, "path", [str(folder), *sys.path]):
        return importlib.import_module(module)


def cases(net, images, labels, checkouts):
    """Name, norm and call of each case."""
    fmn = imported(checkouts / "Fast-Minimum-Norm-FMN-Attack", "src.attacks.fmn")
    sigma_zero = imported(checkouts / "sigma-zero", "sigma_zero_attack").sigma_zero
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    criterion = foolbox.criteria.Misclassification(labels)
    yield "ddn", "l2", lambda: adv_lib.attacks.ddn(net, images, labels, steps=100, levels=None)
    for norm, name in [("l1", "L1FMNAttack"), ("l2", "L2FMNAttack"), ("linf", "LInfFMNAttack")]:
        run = lambda name=name: getattr(fmn, name)(steps=100).run(model, images, criterion)
        yield f"fmn_{norm}", norm, run
    yield "fmn_l2_advlib", "l2", lambda: adv_lib.attacks.fmn(net, images, labels, 2, steps=100)
    for steps in [100, 1000]:
        run = lambda steps=steps: adv_lib.attacks.fmn(net, images, labels, 0, steps=steps)
        yield f"fmn_l0_{steps}", "l0", run
    for steps in [100, 1000]:
        run = lambda steps=steps: sigma_zero(net, images, labels, steps=steps)
        yield f"sigma_zero_{steps}", "l0", run


def idx(folder, name):
    """The array in an IDX file of unsigned bytes."""
    path = Path(folder) / name
    data = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    shape = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(shape)


def network(path):
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval().requires_grad_(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, help="folder with the authors' repositories, see README.md")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True, help="folder with MNIST's test files, plain or .gz")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    net = network(options.weights)
    images = torch.tensor(idx(options.data, "t10k-images-idx3-ubyte")[:IMAGES]).float().div(255)[:, None]
    labels = torch.tensor(idx(options.data, "t10k-labels-idx1-ubyte")[:IMAGES]).long()
    right = net(images).argmax(1) == labels
    stored = {}
    for name, norm, run in cases(net, images, labels, options.checkouts):
        begin = time.perf_counter()
        best = run().detach()
        seconds = time.perf_counter() - begin
        distances = torch.linalg.vector_norm((best - images).flatten(1), ord=NORMS[norm], dim=1)
        found = net(best).argmax(1) != labels
        distances[~found] = math.inf
        stored[name] = distances.numpy()
        chosen = distances[right].sort().values
        middle = len(chosen) // 2
        print(f"{name}: {int(found[right].sum())} of {len(chosen)}, median {chosen[middle]:.4f}, {seconds:.1f} s")
    if options.write:
        save_file(stored, Path(__file__).with_name("mnist_minimum_norm.safetensors"))


if __name__ == "__main__":
    main()
