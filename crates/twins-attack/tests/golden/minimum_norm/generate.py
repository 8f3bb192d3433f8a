#!/usr/bin/env python3
"""Computes `minimum_norm.safetensors`: DDN, FMN, sigma-zero, the loss of PMA and the targets of MALT by their references.

    pip install torch==2.6.0 torchvision==0.21.0 numpy==2.4.6 safetensors==0.8.0 tqdm==4.67.1 foolbox==3.3.4 eagerpy==0.30.0
    pip install --no-deps adv-lib==0.2.8
    python3 generate.py CHECKOUTS              # writes minimum_norm.safetensors beside this script
    python3 generate.py CHECKOUTS --check      # compares the file beside this script with a new computation
    python3 generate.py CHECKOUTS --compare    # compares the references with each other

Four references are not packages. CHECKOUTS is a folder with their repositories, in folders of these names:

    Fast-Minimum-Norm-FMN-Attack   github.com/pralab/Fast-Minimum-Norm-FMN-Attack   98c68c2
    sigma-zero                     github.com/sigma0-advx/sigma-zero                f79dedd
    PMA                            github.com/xieyong0/PMA                          c386acd
    MALT                           github.com/odeliamel/MALT                        2e7d57b

The net and the images are those of `../synthetic_attacks`.
"""

import argparse
import importlib
import math
import sys
from pathlib import Path
from unittest import mock

import foolbox
import numpy
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file

# adv-lib imports this plotter, which nothing here uses.
sys.modules.setdefault("visdom", mock.MagicMock())
import adv_lib.attacks

FILE = Path(__file__).with_name("minimum_norm.safetensors")
NET_FILE = Path(__file__).parents[1] / "synthetic_attacks" / "synthetic_attacks.safetensors"

STEPS = 100
# The calls whose points are kept; that of call 0 is the clean image.
KEPT = [1, 2, 3, 20]
# The calls whose gradients sigma-zero keeps; they lead to the points of calls 1, 2 and 3.
GRADIENTS = 3
NORMS = {"l0": 0, "l1": 1, "l2": 2, "linf": math.inf}
FMN_CLASSES = {"l0": "L0FMNAttack", "l1": "L1FMNAttack", "l2": "L2FMNAttack", "linf": "LInfFMNAttack"}

# Six logits, label, target.
PMA_ROWS = [
    ([0.5, -1.0, 2.0, 0.25, 0.0, -0.5], 2, 0),
    ([0.5, -1.0, 2.0, 0.25, 0.0, -0.5], 3, 5),
    # All are equal: the first of the other classes counts as the largest.
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0, 3),
    # The largest two of the other classes are equal, then the label and the largest other class.
    ([1.0, 3.0, 2.0, 3.0, 0.0, 2.5], 5, 1),
    ([1.0, 3.0, 2.0, 3.0, 0.0, 2.5], 3, 1),
    # The label's probability rounds to one, then that of another class.
    ([20.0, 0.0, -1.0, 1.0, 0.5, -2.0], 0, 4),
    ([20.0, 0.0, -1.0, 1.0, 0.5, -2.0], 3, 0),
    ([20.0, 0.0, -1.0, 1.0, 0.5, -2.0], 3, 4),
    # The others' exponentials are zero in float32.
    ([0.0, 150.0, -10.0, 5.0, 1.0, 2.0], 1, 3),
    # Two classes share nearly everything; logits far from zero.
    ([-40.0, -0.125, 0.125, -35.0, -30.0, -50.0], 2, 1),
    ([1000.0, 1001.0, 999.5, 998.0, 1000.5, 990.0], 4, 0),
    ([8.0, 1.0, -3.0, 0.0, 2.0, -1.0], 0, 4),
]


class Net(torch.nn.Module):
    """The net of the synthetic attacks. It remembers what it was asked and a variable of the attack that asks."""

    def __init__(self, stored):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.fc = torch.nn.Linear(360, 6)
        weights = {name.removeprefix("weights."): v for name, v in stored.items() if name.startswith("weights.")}
        self.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        self.requires_grad_(False).eval()
        self.watched = None
        self.points, self.logits, self.seen = [], [], []

    def watch(self, function, variable):
        self.watched = function, variable
        self.points, self.logits, self.seen = [], [], []

    def forward(self, images):
        logits = self.fc(F.relu(self.conv2(F.relu(self.conv1(images)))).flatten(1))
        if self.watched is not None:
            function, variable = self.watched
            frame = sys._getframe()
            while frame.f_code.co_name != function:
                frame = frame.f_back
            value = frame.f_locals[variable]
            # FMN's variables are tensors of eagerpy; sigma-zero repeats its threshold for each component.
            value = getattr(value, "raw", value)
            self.seen.append(value.flatten(1)[:, 0].clone() if value.ndim > 1 else value.clone())
            self.points.append(images.detach().clone())
            self.logits.append(logits.detach().clone())
        return logits


class RecordingAdam(torch.optim.Adam):
    """Adam, which keeps the gradients that it was given."""

    gradients = []

    def step(self, *arguments, **options):
        self.gradients.append(self.param_groups[0]["params"][0].grad.clone())
        return super().step(*arguments, **options)


def imported(folder, module):
    """The module of a checkout; its siblings are found while it is imported."""
    with mock.patch.object(sys, "path", [str(folder), *sys.path]):
        return importlib.import_module(module)


def ddn(net, images, labels, levels):
    net.watch("ddn", "ε")
    return adv_lib.attacks.ddn(net, images, labels, steps=STEPS, levels=levels)


def fmn(net, images, labels, norm, attacks):
    net.watch("run", "epsilon")
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    criterion = foolbox.criteria.Misclassification(labels)
    return getattr(attacks, FMN_CLASSES[norm])(steps=STEPS).run(model, images, criterion)


def fmn_of_advlib(net, images, labels, norm):
    net.watch("fmn", "ε")
    return adv_lib.attacks.fmn(net, images, labels, NORMS[norm], steps=STEPS)


def sigma_zero(net, images, labels, module):
    net.watch("sigma_zero", "th")
    RecordingAdam.gradients.clear()
    with mock.patch("torch.optim.Adam", RecordingAdam):
        return module.sigma_zero(net, images, labels, steps=STEPS)


def sigma_zero_of_advlib(net, images, labels):
    net.watch("sigma_zero", "τ")
    return adv_lib.attacks.sigma_zero(net, images, labels, num_steps=STEPS)


def recorded(net, images, labels, norm, best, variable="radii"):
    """What an attack asked and found."""
    assert len(net.logits) == STEPS
    offset = (best - images).flatten(1)
    logits = torch.stack(net.logits)
    found = (logits.argmax(2) != labels).any(0)
    distance = torch.linalg.vector_norm(offset, ord=NORMS[norm], dim=1)
    assert torch.equal(found, distance > 0)
    return {
        "points": torch.stack([net.points[call] for call in KEPT]),
        "logits": logits,
        # Before the first update it is a constant.
        variable: torch.stack(net.seen[1:]),
        "best": best,
        "distance": distance,
        "found": found.int(),
    }


def in_levels(images):
    levels = (images * 255).round()
    assert (levels / 255 - images).abs().max() < 1e-6
    return levels.to(torch.uint8)


def pma(modules):
    logits, labels, targets = (torch.tensor(column) for column in zip(*PMA_ROWS))
    values = {"logits": logits, "label": labels.int(), "target": targets.int()}
    losses = {
        "untargeted": lambda rows: modules.P_Margin(rows, labels),
        "targeted": lambda rows: modules.APGDAttack_targeted.pm_loss_targeted(None, rows, labels, targets),
    }
    for name, function in losses.items():
        rows = logits.clone().requires_grad_()
        loss = function(rows)
        values[f"{name}.loss"] = loss
        values[f"{name}.gradient"] = torch.autograd.grad(loss.sum(), rows)[0]
    return values


def malt(net, images, labels, targeting):
    net.watched = None
    with torch.no_grad():
        logits = net(images)
    classes = logits.shape[1]
    values = {}
    # The reference sends its tensors to a GPU.
    with mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor):
        others = logits.scatter(1, labels[:, None], -math.inf)
        candidates = others.topk(classes - 1).indices
        gradients = targeting.fast_find_matrix_around_image(images, labels, candidates, net, num_classes=classes)
        values["candidates"] = candidates.int()
        for norm, dual in [("linf", 1), ("l2", 2)]:
            values[f"{norm}.gradient_norms"] = torch.linalg.vector_norm(gradients, ord=dual, dim=2)
            scores = targeting.get_class_rank(images, candidates, NORMS[norm], gradients, logits, logits.argmax(1))
            values[f"{norm}.scores"] = scores.gather(1, candidates)
            targets = targeting.get_k_best_target_classes(net, images, labels, NORMS[norm], topk=9, testk=100)
            values[f"{norm}.targets"] = targets.int()
    return values


def references(checkouts):
    return {
        "fmn": imported(checkouts / "Fast-Minimum-Norm-FMN-Attack", "src.attacks.fmn"),
        "sigma_zero": imported(checkouts / "sigma-zero", "sigma_zero_attack"),
        "pma": imported(checkouts / "PMA" / "attacks", "autopgd_pt"),
        "malt": imported(checkouts / "MALT", "targeting"),
    }


def setting():
    stored = load_file(NET_FILE)
    return Net(stored), torch.from_numpy(stored["images"]), torch.from_numpy(stored["label"]).long()


def compute(modules):
    net, images, labels = setting()
    cases = {"ddn": recorded(net, images, labels, "l2", ddn(net, images, labels, None))}

    quantised = recorded(net, images, labels, "l2", ddn(net, images, labels, 256))
    cases["ddn_quantised"] = quantised | {name: in_levels(quantised[name]) for name in ["points", "best"]}

    for norm in NORMS:
        found = fmn(net, images, labels, norm, modules["fmn"])
        cases[f"fmn_{norm}"] = recorded(net, images, labels, norm, found)
    other = recorded(net, images, labels, "l0", fmn_of_advlib(net, images, labels, "l0"))
    cases["fmn_l0_advlib"] = {name: value for name, value in other.items() if name != "points"}

    found = sigma_zero(net, images, labels, modules["sigma_zero"])
    cases["sigma_zero"] = recorded(net, images, labels, "l0", found, "thresholds")
    cases["sigma_zero"]["gradients"] = torch.stack(RecordingAdam.gradients[:GRADIENTS])

    cases["pma"] = pma(modules["pma"])
    cases["malt"] = malt(net, images, labels, modules["malt"])
    return {
        f"{case}.{name}": numpy.ascontiguousarray(value.detach().numpy())
        for case, values in cases.items()
        for name, value in values.items()
    }


def strayed(stored, value):
    """How many of the 8 images differ by more than 1e-4 somewhere."""
    off = abs(stored.astype(float) - value)
    axis = 0 if off.shape[0] == 8 else 1
    return int((numpy.moveaxis(off, axis, 0).reshape(8, -1).max(1) > 1e-4).sum())


def check(stored, values):
    """Another processor rounds otherwise. Near the boundary a rounded margin can then lead an image of FMN along another path,
    and Adam enlarges the rounding of small gradients until every image of sigma-zero has left its path."""
    wrong = False
    for name, value in values.items():
        case, entry = name.split(".", 1)
        off = abs(stored[name].astype(float) - value).max()
        path = entry in ["points", "logits", "radii", "thresholds", "best"]
        allowed = 0 if not path else 8 if case == "sigma_zero" else 1 if case.startswith("fmn") else 0
        count = strayed(stored[name], value) if path else 0
        if off > 1e-5:
            print(f"{name}: {off:.1e}" + (f", {count} of 8 images" if path else ""))
        wrong |= count > allowed if path else off > 1e-4
    # Until call 3 no path of sigma-zero is lost.
    for entry, calls in [("points", 3), ("logits", 4), ("thresholds", 3)]:
        name = f"sigma_zero.{entry}"
        wrong |= abs(stored[name][:calls].astype(float) - values[name][:calls]).max() > 1e-3
    print("the file does not agree" if wrong else f"{len(values)} entries agree")
    return wrong


def compare(modules):
    """Prints from which call on the logits of two references differ, for each image, and the distances."""
    net, images, labels = setting()
    runs = {}
    for norm in NORMS:
        runs[f"FMN {norm}"] = (norm, {
            "authors": lambda norm=norm: fmn(net, images, labels, norm, modules["fmn"]),
            "adv-lib": lambda norm=norm: fmn_of_advlib(net, images, labels, norm),
            "foolbox": lambda norm=norm: fmn(net, images, labels, norm, foolbox.attacks.fast_minimum_norm),
        })
    runs["sigma-zero"] = ("l0", {
        "authors": lambda: sigma_zero(net, images, labels, modules["sigma_zero"]),
        "adv-lib": lambda: sigma_zero_of_advlib(net, images, labels),
    })
    for case, (norm, functions) in runs.items():
        first = None
        for reference, function in functions.items():
            found = recorded(net, images, labels, norm, function())
            first = first or found
            off = (found["logits"] - first["logits"]).abs().amax(2) > 1e-3
            calls = [int(image.int().argmax()) if image.any() else None for image in off.T]
            distances = [round(distance, 4) for distance in found["distance"].tolist()]
            print(f"{case}, {reference}: distances {distances}, leaves the first reference at call {calls}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compare", action="store_true")
    arguments = parser.parse_args()
    # More threads may add up in another order.
    torch.set_num_threads(1)
    modules = references(arguments.checkouts)
    if arguments.compare:
        compare(modules)
        return
    values = compute(modules)
    if not arguments.check:
        save_file(values, FILE)
        return
    stored = load_file(FILE)
    assert stored.keys() == values.keys(), stored.keys() ^ values.keys()
    sys.exit(int(check(stored, values)))


if __name__ == "__main__":
    main()
