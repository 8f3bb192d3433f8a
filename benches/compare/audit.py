#!/usr/bin/env python3
"""Checks adversarial examples that `evaluate` saved, sample by sample, in PyTorch.

    twins evaluate --weights mnist_pgd_robust.pth --arch mnist-cnn --data mnist:DIR \\
        --attack autoattack --norm l2 --epsilon 2 --json report.json --save-adversarial report.npy
    python3 benches/compare/audit.py --weights mnist_pgd_robust.pth --data DIR report.json

The images of a report are in the file of the same name with the ending `.npy`. Several reports may be given, if they are about the same
weights and images.

Nothing of this library is used: the weights, the images and the reports are read anew, and the predictions are PyTorch's. For every sample
of a report it checks that

* the label is that of the data, and PyTorch predicts the class of the report for the clean image;
* the adversarial image lies in the box [0, 1] and in the ball, and has the distance of the report;
* PyTorch misclassifies it if the report says that an attack broke the sample, and otherwise it is the clean image;
* the numbers of correct samples in the report are those of its samples.

Both programs compute in single precision and sum in another order. Where the two classes in question are so close in PyTorch's logits that
this decides, the sample is counted as undecided and not as a disagreement. More than a tenth of the adversarial examples undecided is one.

Prints each disagreement and a table. The exit status is 1 if anything disagrees, or if there is no adversarial example to check.

Needs PyTorch and NumPy, and Pillow for a folder of images.
"""

import argparse
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy
import torch

from autoattack import idx, network, samples as folder_samples

# Float32 images: 1e-6 absolute in Linf (a few roundings of x + epsilon), 1e-4 relative in L2 and L1, where the roundings of all pixels add
# up. The same as the library promises. A count of changed values has no rounding.
SLACK = {
    "linf": lambda epsilon: 1e-6,
    "l2": lambda epsilon: 1e-4 * epsilon,
    "l1": lambda epsilon: 1e-4 * epsilon,
    "l0": lambda epsilon: 0.0,
}

# Two logits whose difference is below this fraction of the largest logit are equal up to rounding. The largest layer adds 1568 products. In
# another order, their roundings (6e-8 each) add up to about 6e-8 · √1568 = 2.4e-6 of the result, and twice that for a difference of two.
ROUNDING = 5e-6

# The most undecided samples, as a fraction of the adversarial examples.
MOST_UNDECIDED = 0.1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="the PyTorch file that was evaluated")
    parser.add_argument("--data", required=True, help="folder with MNIST's test files, plain or .gz, or with a folder of images per class")
    parser.add_argument("reports", nargs="+", metavar="REPORT.json", help="what evaluate wrote with --json")
    return parser.parse_args()


def images_of(kind, folder):
    """All clean images of the data, float32 [n, channels, height, width] in [0, 1], and their labels."""
    if kind == "mnist":
        pixels = idx(folder, "t10k-images-idx3-ubyte")[:, None]
        labels = idx(folder, "t10k-labels-idx1-ubyte")
    elif kind == "folder":
        pixels, labels = folder_samples(folder, None)
    else:
        sys.exit(f"the report is about {kind}: this script reads mnist and folder")
    return pixels.astype(numpy.float32) / numpy.float32(255), labels


def logits_of(net, images):
    with torch.no_grad():
        return torch.cat([net(part) for part in torch.from_numpy(images).split(100)]).numpy()


def length(change, norm):
    """The norm of a perturbation, in double precision."""
    change = numpy.abs(change.astype(numpy.float64)).ravel()
    if norm == "linf":
        return float(change.max())
    if norm == "l2":
        return float(numpy.sqrt((change**2).sum()))
    return float(change.sum()) if norm == "l1" else float((change != 0).sum())


def close(logits, one, other):
    """Whether two classes have the same logit up to rounding."""
    return abs(float(logits[one]) - float(logits[other])) <= ROUNDING * float(numpy.abs(logits).max())


class Audit:
    """One report against PyTorch."""

    def __init__(self, path, data, net):
        report = json.loads(path.read_text())
        config, self.samples = report["config"], report["samples"]
        self.name, self.report, self.attack = path.stem, report, config["attack"]
        # A number, or text such as 8/255. In a list of radii it is the largest.
        self.norm, self.epsilon = config["norm"].lower(), float(Fraction(str(config["epsilon"])))
        self.adversarial = numpy.load(path.with_suffix(".npy"))
        images, labels = data
        numbers = [sample["index"] for sample in self.samples]
        self.clean, self.labels = images[numbers], labels[numbers]
        if self.adversarial.dtype != numpy.float32 or self.adversarial.shape != self.clean.shape:
            sys.exit(
                f"{path}: float32 images of shape {self.clean.shape} are expected,"
                f" the file has {self.adversarial.dtype} of {self.adversarial.shape}"
            )
        self.logits = [logits_of(net, images) for images in (self.clean, self.adversarial)]
        self.broken = self.undecided = 0
        self.farthest, self.smallest_lead = 0.0, float("inf")
        self.disagreements = [f"sample {number}: {text}" for place, number in enumerate(numbers) for text in self.check(place)]
        self.disagreements += self.check_counts()

    def check(self, place):
        """What is wrong with one sample, in words."""
        sample, label = self.samples[place], int(self.labels[place])
        if sample["label"] != label:
            yield f"the report has label {sample['label']}, the data have {label}"
        reported, logits = sample["clean_prediction"], self.logits[0][place]
        predicted = int(logits.argmax())
        if predicted != reported:
            if close(logits, predicted, reported):
                self.undecided += 1
            else:
                yield f"the clean image: class {reported} in the report, {predicted} in PyTorch"
        if (sample["broken_by"] == "clean") != (reported != sample["label"]):
            yield f"broken by {sample['broken_by']}, but predicted as class {reported} without an attack"
        yield from self.check_image(sample, place, label)

    def check_image(self, sample, place, label):
        clean, adversarial = self.clean[place], self.adversarial[place]
        if not ((adversarial >= 0) & (adversarial <= 1)).all():
            yield f"outside the box: values from {adversarial.min()} to {adversarial.max()}"
        distance, slack = length(adversarial.astype(numpy.float64) - clean, self.norm), SLACK[self.norm](self.epsilon)
        self.farthest = max(self.farthest, distance)
        # So that a distance that is not a number is outside, too.
        if not distance <= self.epsilon + slack:
            yield f"outside the ball: distance {distance}"
        if sample["broken_by"] in (None, "clean"):
            if (adversarial != clean).any():
                yield f"no attack broke it in the report, but its image is not the clean one (distance {distance})"
            return
        self.broken += 1
        if not abs(distance - sample["distance"]) <= slack:
            yield f"distance {sample['distance']} in the report, {distance} here"
        logits = self.logits[1][place]
        other = int(numpy.where(numpy.arange(len(logits)) == label, -numpy.inf, logits).argmax())
        lead = float(logits[other]) - float(logits[label])
        if lead > 0:
            self.smallest_lead = min(self.smallest_lead, lead)
        elif close(logits, other, label):
            self.undecided += 1
        else:
            yield f"broken by {sample['broken_by']} in the report, classified correctly in PyTorch (by {-lead:.1e})"

    def check_counts(self):
        """What is wrong with the report as a whole."""
        correct = sum(sample["broken_by"] != "clean" for sample in self.samples)
        robust = sum(sample["broken_by"] is None for sample in self.samples)
        for name, count in [("clean", correct), ("robust", robust)]:
            if self.report[name] != {"correct": count, "total": len(self.samples)}:
                yield f"{name}: {self.report[name]} in the report, {count} of {len(self.samples)} by its samples"
        if self.undecided > MOST_UNDECIDED * self.broken:
            yield f"{self.undecided} undecided samples for {self.broken} adversarial examples are too many for rounding"

    def row(self):
        correct = self.report["clean"]["correct"]
        farthest, smallest = f"{self.farthest / self.epsilon:.6f}", f"{self.smallest_lead:.1e}"
        counts = [len(self.samples), correct, self.broken]
        return [self.attack, self.norm, f"{self.epsilon:g}", *counts, farthest, smallest, self.undecided, len(self.disagreements)]


HEADINGS = ["attack", "norm", "epsilon", "images", "correct", "broken", "distance", "lead", "undecided", "disagreements"]


def main():
    options = arguments()
    data, nets, audits = {}, {}, []
    for path in map(Path, options.reports):
        config = json.loads(path.read_text())["config"]
        kind, arch = config["data"].split(":")[0], config["arch"]
        if kind not in data:
            data[kind] = images_of(kind, options.data)
        if arch not in nets:
            nets[arch] = network(arch, options.weights)
        audits.append(Audit(path, data[kind], nets[arch]))
    for audit in audits:
        for text in audit.disagreements:
            print(f"{audit.name}: {text}")
    row = "{:<12}{:>5}{:>11}{:>8}{:>9}{:>8}{:>10}{:>9}{:>11}{:>15}".format
    print(row(*HEADINGS))
    for audit in audits:
        print(row(*audit.row()))
    broken = sum(audit.broken for audit in audits)
    wrong = sum(len(audit.disagreements) for audit in audits)
    print(f"{len(audits)} reports, {broken} adversarial examples, {wrong} disagreements (distance in epsilons; lead of the wrong class)")
    if broken == 0:
        print("no adversarial example: nothing was checked")
    sys.exit(int(wrong > 0 or broken == 0))


if __name__ == "__main__":
    main()
