#!/usr/bin/env python3
"""Checks adversarial examples that `evaluate` saved, sample by sample, in PyTorch.

    cargo run --release --example evaluate -- --weights mnist_pgd_robust.pth --arch mnist-cnn --data mnist:DIR \\
        --attack autoattack --norm l2 --epsilon 2 --json report.json --save-adversarial adversarial.npy
    python3 benches/compare/audit.py --report report.json --adversarial adversarial.npy --data DIR \\
        --weights mnist_pgd_robust.pth

Nothing of this library is used: the weights, the images and the report are read anew, and the predictions are PyTorch's. For
every sample of the report it checks that

* the label is that of the data, and PyTorch predicts the same class for the clean image;
* the adversarial image lies in the box [0, 1] and in the ball, and has the distance of the report;
* PyTorch misclassifies it if the report says that an attack broke the sample, and else it is the clean image.

Prints each disagreement and the counts. The exit status is 1 if anything disagrees.

Needs PyTorch and NumPy.
"""

import argparse
import json
import sys
from fractions import Fraction

import numpy
import torch

from autoattack import idx, network

# Float32 images: 1e-6 absolute in Linf (a few roundings of x + epsilon), 1e-4 relative in L2 and L1, where the roundings of all
# pixels add up. The same as the library promises.
SLACK = {"linf": lambda epsilon: 1e-6, "l2": lambda epsilon: 1e-4 * epsilon, "l1": lambda epsilon: 1e-4 * epsilon}
ORDER = {"linf": numpy.inf, "l2": 2, "l1": 1}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", required=True, help="what evaluate wrote with --json")
    parser.add_argument("--adversarial", required=True, help="what evaluate wrote with --save-adversarial")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True, help="folder with MNIST's test files, plain or .gz")
    return parser.parse_args()


def predictions(net, images):
    """The predicted class of each image, and how far its logit is above the next."""
    with torch.no_grad():
        logits = torch.cat([net(part) for part in torch.from_numpy(images).split(100)])
    top = logits.topk(2, dim=1)
    return logits.argmax(1).numpy(), (top.values[:, 0] - top.values[:, 1]).numpy()


def disagreements(sample, norm, epsilon, clean, adversarial, label, predicted, lead):
    """What is wrong with one sample, in words."""
    if sample["label"] != label:
        yield f"the report has label {sample['label']}, the data have {label}"
    if sample["clean_prediction"] != predicted[0]:
        yield f"the clean image: class {sample['clean_prediction']} in the report, {predicted[0]} in PyTorch (by {lead[0]:.1e})"
    if not ((adversarial >= 0) & (adversarial <= 1)).all():
        yield f"outside the box: values from {adversarial.min()} to {adversarial.max()}"
    change = adversarial.astype(numpy.float64) - clean
    distance = float(numpy.linalg.norm(change.ravel(), ORDER[norm]))
    if not distance <= epsilon + SLACK[norm](epsilon):
        yield f"outside the ball: distance {distance}"
    attacked = sample["broken_by"] not in (None, "clean")
    if attacked:
        if predicted[1] == label:
            yield f"broken by {sample['broken_by']} in the report, classified correctly in PyTorch (by {lead[1]:.1e})"
        if abs(distance - sample["distance"]) > SLACK[norm](epsilon):
            yield f"distance {sample['distance']} in the report, {distance} here"
    elif change.any():
        yield "no attack broke it in the report, but its image is not the clean one"
    if (sample["broken_by"] == "clean") != (sample["clean_prediction"] != sample["label"]):
        yield f"broken by {sample['broken_by']}, but predicted as class {sample['clean_prediction']} without an attack"


def main():
    options = arguments()
    with open(options.report) as file:
        report = json.load(file)
    config, samples = report["config"], report["samples"]
    # A number, or text such as 8/255.
    norm, epsilon = config["norm"].lower(), float(Fraction(str(config["epsilon"])))
    adversarial = numpy.load(options.adversarial)
    if adversarial.dtype != numpy.float32 or len(adversarial) != len(samples):
        sys.exit(f"{len(samples)} samples in the report, {len(adversarial)} images of {adversarial.dtype}")
    numbers = [sample["index"] for sample in samples]
    clean = idx(options.data, "t10k-images-idx3-ubyte")[numbers][:, None].astype(numpy.float32) / numpy.float32(255)
    labels = idx(options.data, "t10k-labels-idx1-ubyte")[numbers]
    net = network(options.weights)
    found = [predictions(net, images) for images in (clean, adversarial)]

    wrong = 0
    for place, sample in enumerate(samples):
        predicted, lead = zip(*((classes[place], leads[place]) for classes, leads in found))
        for text in disagreements(
            sample, norm, epsilon, clean[place], adversarial[place], labels[place], predicted, lead
        ):
            wrong += 1
            print(f"sample {sample['index']}: {text}")
    broken = sum(sample["broken_by"] not in (None, "clean") for sample in samples)
    print(f"{len(samples)} samples, {norm} epsilon {epsilon:g}: {wrong} disagreements")
    for name, classes, count in [
        ("clean", found[0][0], report["clean"]["correct"]),
        ("adversarial", found[1][0], report["robust"]["correct"]),
    ]:
        correct = int((classes == labels).sum())
        wrong += correct != count
        print(f"{name}: {correct} correct in PyTorch, {count} in the report")
    # The smaller the lead, the less another rounding would take to change the verdict.
    leads = [found[1][1][place] for place, sample in enumerate(samples) if sample["broken_by"] not in (None, "clean")]
    print(f"{broken} adversarial examples, misclassified by at least {min(leads, default=float('nan')):.1e}")
    sys.exit(int(wrong > 0))


if __name__ == "__main__":
    main()
