#!/usr/bin/env python3
"""Computes `square.safetensors`: the proposals of the authors' Square attack with prescribed draws.

    pip install torch==2.6.0 numpy==2.4.6 safetensors==0.8.0
    pip install --no-deps pyautoattack==0.2.0
    python3 generate.py                # writes square.safetensors beside this script
    python3 generate.py --check        # compares the file beside this script with a new computation
"""

import argparse
import sys
from pathlib import Path
from unittest import mock

import numpy
import torch
from pyautoattack.square import SquareAttack
from safetensors.numpy import load_file, save_file

FILE = Path(__file__).with_name("square.safetensors")

# A multiple of five, where the reference's tiles cover the image.
SHAPE = (3, 15, 15)
QUERIES = 16
EPSILONS = {"Linf": 0.1, "L2": 2.0, "L1": 12.0}
# Squares of sides 13 and 9, or of 5 and 3, as the first queries halve the share once.
SHARES = {"large": 0.8, "small": 0.1}
# With these seeds some proposals are accepted and some are not.
SEEDS = {("Linf", "large"): 2, ("L2", "large"): 1}


class Prescribed(SquareAttack):
    """The attack with draws that come from NumPy and are recorded; its own code does the rest."""

    def __init__(self, *arguments, draws, **options):
        super().__init__(*arguments, **options)
        self.draws = draws
        self.signs, self.places, self.sides, self.columns = [], [], [], []

    def random_choice(self, shape):
        signs = self.draws.choice([-1.0, 1.0], size=shape).astype(numpy.float32)
        self.signs.append(signs)
        return torch.from_numpy(signs)

    def random_int(self, low=0, high=1, shape=[1]):
        # As the reference does, below `high` alone: the last row and column stay free.
        place = int(self.draws.integers(low, max(high, low + 1)))
        self.places.append(place)
        return torch.tensor([place])

    def eta(self, side):
        columns = bool(self.draws.integers(2))
        self.sides.append(side)
        self.columns.append(columns)
        # The reference transposes the pattern where this draw is above one half.
        with mock.patch("torch.rand", lambda *_: torch.tensor([0.75 if columns else 0.25])):
            return super().eta(side)


def case(norm, share, seed):
    draws = numpy.random.default_rng(seed)
    channels, height, width = SHAPE
    # A third of the pixels lies on the box's walls.
    image = draws.uniform(-0.25, 1.25, SHAPE).clip(0, 1).astype(numpy.float32)
    weights = [draws.normal(0, 0.1, shape).astype(numpy.float32) for shape in [(675, 16), (16, 4)]]
    asked, margins = [], []

    def predict(images):
        hidden = torch.relu(images.flatten(1) @ torch.from_numpy(weights[0]))
        logits = hidden @ torch.from_numpy(weights[1])
        # The label's logit is far above the others, so that the search never ends early.
        logits = logits + torch.tensor([100.0, 0.0, 0.0, 0.0])
        asked.append(images[0].numpy().copy())
        margins.append(float(logits[0, 0] - logits[0, 1:].max()))
        return logits

    attack = Prescribed(predict, norm=norm, n_queries=QUERIES, eps=EPSILONS[norm], p_init=share, resc_schedule=False,
                        device="cpu", draws=draws)
    images = torch.from_numpy(image)[None]
    attack.init_hyperparam(images)
    attack.attack_single_run(images, torch.tensor([0]))
    assert len(asked) == 1 + QUERIES

    accepted, best = [], margins[0]
    for margin in margins[1:]:
        accepted.append(margin < best)
        best = min(best, margin)
    assert 4 <= sum(accepted) <= 12, "choose a seed with which proposals are both accepted and rejected"

    result = {"image": image, "points": numpy.stack(asked), "accepted": numpy.array(accepted, numpy.int32)}
    if norm == "Linf":
        result["start_signs"] = attack.signs[0].reshape(channels, width)
        result["places"] = numpy.array(attack.places, numpy.int32).reshape(QUERIES, 2)
        result["signs"] = numpy.stack(attack.signs[1:]).reshape(QUERIES, channels)
        result["sides"] = numpy.array([side_of(attack, query, height * width) for query in range(QUERIES)], numpy.int32)
    else:
        tiles = len(attack.sides) - QUERIES
        assert tiles == 25 and all(side == 3 for side in attack.sides[:tiles])
        signs = numpy.stack([signs.reshape(channels) for signs in attack.signs])
        result["start_signs"], result["signs"] = signs[:tiles].copy(), signs[tiles:].copy()
        columns = numpy.array(attack.columns, numpy.int32)
        result["start_columns"], result["columns"] = columns[:tiles].copy(), columns[tiles:].copy()
        # Of the square that gets the perturbation, then of the one that gives it.
        result["places"] = numpy.array(attack.places, numpy.int32).reshape(QUERIES, 4)
        result["sides"] = numpy.array(attack.sides[tiles:], numpy.int32)
    return result


def side_of(attack, query, area):
    """The reference keeps the side of a Linf square to itself; this is its rule."""
    return max(int(round((attack.p_selection(query) * area) ** 0.5)), 1)


def compute():
    values = {}
    for norm in EPSILONS:
        for size, share in SHARES.items():
            for name, value in case(norm, share, SEEDS.get((norm, size), 0)).items():
                values[f"{norm.lower()}_{size}.{name}"] = numpy.ascontiguousarray(value)
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    values = compute()
    if not parser.parse_args().check:
        save_file(values, FILE)
        return
    stored = load_file(FILE)
    assert stored.keys() == values.keys()
    # Another processor may round the sums of a pattern or a norm otherwise.
    off = {name: abs(stored[name].astype(float) - value).max() for name, value in values.items()}
    print("largest difference:", max(off.values()))
    sys.exit(int(max(off.values()) > 1e-6))


if __name__ == "__main__":
    main()
