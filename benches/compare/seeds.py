#!/usr/bin/env python3
"""How much the verdicts of APGD-CE and APGD-T depend on the seed, in the published AutoAttack and in this library.

    python3 benches/compare/autoattack.py ... --json compared.json
    python3 benches/compare/seeds.py --compared compared.json --reference reference --data MNIST_DIR --weights mnist_pgd_robust.pth

Attacks the images that either side broke or misclassified in the comparison: the others withstand whatever the seed. Prints
how many are left standing after each attack. The options are those of `autoattack.py`.
"""

import argparse
import json
import struct
import subprocess
import tempfile
from pathlib import Path

from autoattack import call, idx, network, published


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compared", required=True, help="what autoattack.py wrote with --json")
    parser.add_argument("--reference", help="folder to import the reference from [default: what is installed]")
    parser.add_argument("--evaluate", default="target/release/examples/evaluate", help="this library's example")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True, help="folder with MNIST's test files, plain or .gz")
    parser.add_argument("--epsilon", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args()


def open_to_doubt(compared):
    """Numbers of the images that one side or the other did not leave standing."""
    ours = {s["index"] for s in compared["ours"]["samples"] if withstood(s)}
    theirs = set(compared["reference"]["stages"][-1]["standing"])
    return sorted(set(range(len(compared["ours"]["samples"]))) - (ours & theirs))


def withstood(sample):
    return sample["broken_by"] is None and sample["clean_prediction"] == sample["label"]


def of_reference(options, folder, seed):
    import torch

    torch.set_num_threads(options.threads)
    images = torch.from_numpy(idx(folder, "t10k-images-idx3-ubyte").copy()).float().div(255).unsqueeze(1)
    labels = torch.from_numpy(idx(folder, "t10k-labels-idx1-ubyte").copy()).long()
    net = network("mnist-cnn", options.weights)
    attack = published(options.reference)[0](
        net, norm="Linf", eps=options.epsilon, version="standard", seed=seed, device="cpu"
    )
    attack.verbose = False
    standing = net(images).argmax(1) == labels
    left = []
    for stage in ["apgd-ce", "apgd-t"]:
        attack.attacks_to_run = [stage]
        open_ones = standing.nonzero().squeeze(1)
        adversarial = call(attack, images[open_ones], labels[open_ones], len(open_ones))
        standing[open_ones] = net(adversarial).argmax(1) == labels[open_ones]
        left.append(int(standing.sum()))
    return left


def of_ours(options, folder, seed):
    standing, left = None, []
    for attack in ["apgd-ce", "apgd-t"]:
        path = Path(folder) / f"{attack}.{seed}.json"
        command = [
            options.evaluate, "--weights", options.weights, "--arch", "mnist-cnn", "--data", f"mnist:{folder}",
            "--attack", attack, "--epsilon", options.epsilon, "--threads", options.threads, "--seed", seed,
            "--json", path,
        ]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        withstanding = {s["index"] for s in json.load(open(path))["samples"] if withstood(s)}
        standing = withstanding if standing is None else standing & withstanding
        left.append(len(standing))
    return left


def main():
    options = arguments()
    numbers = open_to_doubt(json.load(open(options.compared)))
    images = idx(options.data, "t10k-images-idx3-ubyte")[numbers]
    labels = idx(options.data, "t10k-labels-idx1-ubyte")[numbers]
    print(f"{len(numbers)} images; left standing after APGD-CE, and after APGD-T")
    with tempfile.TemporaryDirectory() as folder:
        header = struct.pack(">IIII", 0x803, *images.shape)
        (Path(folder) / "t10k-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (Path(folder) / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels.tobytes())
        for seed in range(options.seeds):
            reference, ours = of_reference(options, folder, seed), of_ours(options, folder, seed)
            print(f"seed {seed}: reference {reference[0]} {reference[1]}, ours {ours[0]} {ours[1]}", flush=True)


if __name__ == "__main__":
    main()
