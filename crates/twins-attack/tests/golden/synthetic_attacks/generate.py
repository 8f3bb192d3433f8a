#!/usr/bin/env python3
"""Computes the golden values of `synthetic_attacks.safetensors` with the authors' AutoAttack and a plain PGD.

    pip install torch==2.6.0 numpy==2.4.6 safetensors==0.8.0
    pip install --no-deps pyautoattack==0.2.0
    python3 generate.py --check        # compares the file beside this script with a new computation
    python3 generate.py                # writes the file anew

The net's weights, the images, the starts of APGD and the target classes are read from the file; they were drawn at random once.
"""

import argparse
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from safetensors import safe_open
from safetensors.numpy import save_file

FILE = Path(__file__).with_name("synthetic_attacks.safetensors")

EPSILONS = {"Linf": 0.013, "L2": 0.2, "L1": 1.4}
PGD_STEPS = {"Linf": 0.003, "L2": 0.05}
PGD_KEPT = [1, 2, 10]
APGD_ITERATIONS = 50
APGD_KEPT = [0, 1, 2, 3, 11, 12, 13]
FAB_ITERATIONS = 30
# Where the file ends: the ranks of the target classes of FAB.
RANKS = range(2, 7)


class Net(torch.nn.Module):
    """The net of the file, which remembers what it was asked."""

    def __init__(self, stored):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.fc = torch.nn.Linear(360, 6)
        weights = {name.removeprefix("weights."): v for name, v in stored.items() if name.startswith("weights.")}
        self.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        self.requires_grad_(False).eval()
        self.asked = []

    def forward(self, images):
        features = F.relu(self.conv2(F.relu(self.conv1(images))))
        logits = self.fc(features.flatten(1))
        self.asked.append((images.detach().clone(), logits.detach().clone()))
        return logits


def pgd(net, images, labels, norm):
    """The iterates after some of 10 steps without random start."""
    epsilon, step = EPSILONS[norm], PGD_STEPS[norm]
    length = lambda v: v.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    point, kept = images.clone(), []
    for number in range(1, max(PGD_KEPT) + 1):
        point = point.detach().requires_grad_()
        gradient = torch.autograd.grad(F.cross_entropy(net(point), labels, reduction="sum"), point)[0]
        with torch.no_grad():
            if norm == "Linf":
                point = point + step * gradient.sign()
                point = point.clamp(images - epsilon, images + epsilon).clamp(0, 1)
            else:
                offset = point + step * gradient / (length(gradient) + 1e-12) - images
                scale = (epsilon / (length(offset) + 1e-12)).clamp(max=1)
                point = (images + offset * scale).clamp(0, 1)
        if number in PGD_KEPT:
            kept.append(point.clone())
    return {"iterates": torch.stack(kept)}


def apgd(net, images, labels, norm, loss, start, target):
    options = {"n_iter": APGD_ITERATIONS, "norm": norm, "eps": EPSILONS[norm], "device": "cpu"}
    if loss == "dlr_targeted":
        attack = APGDAttack_targeted(net, **options)
        attack.y_target = target
    else:
        attack = APGDAttack(net, loss=loss, **options)
    attack.init_hyperparam(images)
    net.asked.clear()
    best, still_right, best_loss, _ = attack.attack_single_run(images, labels, x_init=start)
    assert len(net.asked) == APGD_ITERATIONS + 1
    values = {
        "start": start,
        "iterates": torch.stack([net.asked[call][0] for call in APGD_KEPT]),
        "logits": torch.stack([logits for _, logits in net.asked]),
        "best": best,
        "best_loss": best_loss,
        "still_right": still_right.int(),
    }
    return values if target is None else {**values, "target": target.int()}


def fab(net, images, labels, norm):
    attack = FABAttack_PT(net, norm=norm, n_iter=FAB_ITERATIONS, eps=EPSILONS[norm], targeted=True, device="cpu")
    power = {"Linf": float("inf"), "L2": 2, "L1": 1}[norm]
    distances, runner_up = [], None
    for rank in RANKS:
        attack.target_class = rank
        found = attack.attack_single_run(images, labels, use_rand_start=False, is_targeted=True)
        distances.append(torch.linalg.vector_norm((found - images).flatten(1), ord=power, dim=1))
        runner_up = found if runner_up is None else runner_up
    return {"distance_by_target_rank": torch.stack(distances, 1), "adversarial_rank2": runner_up}


def compute(stored):
    net = Net(stored)
    images = torch.from_numpy(stored["images"])
    with torch.no_grad():
        logits = net(images)
    labels = logits.argmax(1)
    values = {"images": images, "logits": logits, "label": labels.int()}
    values |= {name: torch.from_numpy(value) for name, value in stored.items() if name.startswith("weights.")}
    for norm in PGD_STEPS:
        values |= {f"pgd_{norm.lower()}.{name}": v for name, v in pgd(net, images, labels, norm).items()}
    for norm in EPSILONS:
        for loss in ["ce", "dlr", "dlr_targeted"]:
            case = f"apgd_{norm.lower()}_{loss}"
            start = torch.from_numpy(stored[f"{case}.start"])
            target = torch.from_numpy(stored[f"{case}.target"]).long() if loss == "dlr_targeted" else None
            found = apgd(net, images, labels, norm, loss, start, target)
            values |= {f"{case}.{name}": value for name, value in found.items()}
        values |= {f"fab_t_{norm.lower()}.{name}": v for name, v in fab(net, images, labels, norm).items()}
    return {name: numpy.ascontiguousarray(value.detach().numpy()) for name, value in values.items()}


def differing(stored, value):
    """How many samples differ by more than 1e-5; they lie along the axis of length 8."""
    off = abs(stored.astype(float) - value)
    axis = 0 if off.shape[0] == 8 else 1
    return int((numpy.moveaxis(off, axis, 0).reshape(8, -1).max(1) > 1e-5).sum())


def check(stored, values):
    """Another processor rounds otherwise. In APGD a rounded gradient that changes its sign, or a tie between two losses,
    then sends a sample along another path to nearly the same best loss; nothing else depends on it."""
    wrong = False
    for name, value in values.items():
        off = abs(stored[name].astype(float) - value).max()
        path = name.startswith("apgd") and name.endswith((".iterates", ".logits", ".best"))
        strayed = differing(stored[name], value) if path else 0
        if off > 1e-5:
            print(f"{name}: {off:.1e}" + (f", {strayed} of 8 samples" if path else ""))
        wrong |= strayed > 3 if path else off > 5e-5
    print("the file does not agree" if wrong else f"{len(values)} entries agree")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    # More threads may add up in another order.
    torch.set_num_threads(1)
    with safe_open(FILE, "numpy") as file:
        metadata = file.metadata()
        stored = {name: file.get_tensor(name) for name in file.keys()}
    values = compute(stored)
    assert stored.keys() == values.keys(), stored.keys() ^ values.keys()
    if not parser.parse_args().check:
        save_file(values, FILE, metadata)
        return
    sys.exit(int(check(stored, values)))


if __name__ == "__main__":
    main()
