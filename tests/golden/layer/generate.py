"""Values of the two-wing layer from PyTorch's batch_norm (2.6, float32, CPU): `python3 generate.py`.

Each wing is torch.nn.functional.batch_norm with its own statistics; a split batch is two calls and a concatenation.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

MOMENTUM, EPSILON, STEPS = 0.1, 1e-5, 3

# name: shape, how the input is made. The last axes of some make planes of 16 values or more, of others fewer.
SHAPES = {
    "even": (8, 3, 4, 5),
    "odd": (7, 3, 4, 5),
    "two": (2, 3, 4, 4),
    "three": (3, 2, 5, 5),
    "rank2": (8, 5),
    "rank3": (6, 4, 19),
    "rank5": (4, 3, 2, 3, 3),
    "small_planes": (6, 3, 2, 2),
    "wide": (2, 1, 33, 33),
    "constant": (6, 3, 4, 5),
    "offset": (6, 3, 4, 5),
    "huge": (6, 3, 4, 5),
    "tiny": (6, 3, 4, 5),
}
WINGS = ("adaptive", "adaptive_training", "frozen", "split", "split_shared")


def inputs(name, shape, rand):
    x = torch.randn(shape, generator=rand) * 1.7 + 0.4
    channel = (slice(None), 1)
    if name == "constant":
        x[channel] = 0.7
    elif name == "offset":
        x[channel] += 1000.0
    elif name == "huge":
        x *= 1e18
    elif name == "tiny":
        x *= 1e-18
    return x


def norm(x, wing, tensors, running):
    """One forward pass, and the running statistics updated in place."""
    fixed = lambda part, gamma, beta: F.batch_norm(  # noqa: E731
        part, tensors["frozen_mean"], tensors["frozen_var"], gamma, beta, False, MOMENTUM, EPSILON
    )
    batch = lambda part: F.batch_norm(  # noqa: E731
        part, running[0], running[1], tensors["gamma"], tensors["beta"], True, MOMENTUM, EPSILON
    )
    if wing == "adaptive":
        return F.batch_norm(x, *running, tensors["gamma"], tensors["beta"], False, MOMENTUM, EPSILON)
    if wing == "adaptive_training":
        return batch(x)
    if wing == "frozen":
        return fixed(x, tensors["frozen_gamma"], tensors["frozen_beta"])
    half = x.shape[0] // 2
    shared = wing == "split_shared"
    affine = ("gamma", "beta") if shared else ("frozen_gamma", "frozen_beta")
    return torch.cat([fixed(x[:half], *(tensors[a] for a in affine)), batch(x[half:])])


def main():
    values, rand = {}, torch.Generator().manual_seed(20230619)
    for name, shape in SHAPES.items():
        channels = shape[1]
        x = inputs(name, shape, rand)
        given = {
            "gamma": torch.rand(channels, generator=rand) + 0.5,
            "beta": torch.randn(channels, generator=rand),
            "frozen_gamma": torch.rand(channels, generator=rand) + 0.5,
            "frozen_beta": torch.randn(channels, generator=rand),
            "frozen_mean": torch.randn(channels, generator=rand),
            "frozen_var": torch.rand(channels, generator=rand) + 0.2,
            "running_mean": torch.randn(channels, generator=rand),
            "running_var": torch.rand(channels, generator=rand) + 0.2,
        }
        gradient = torch.randn(shape, generator=rand)
        for key, value in {"input": x, "gradient": gradient, **given}.items():
            values[f"{name}/{key}"] = value
        for wing in WINGS:
            running = [given["running_mean"].clone(), given["running_var"].clone()]
            leaves = {k: v.clone().requires_grad_(k.endswith(("gamma", "beta"))) for k, v in given.items()}
            leaf = x.clone().requires_grad_()
            output = norm(leaf, wing, leaves, running)
            output.backward(gradient)
            case = {"output": output.detach(), "input.grad": leaf.grad}
            case |= {f"{k}.grad": v.grad for k, v in leaves.items() if v.grad is not None}
            # More steps, for the running statistics alone: the input grows by half of itself each time.
            step = x
            for _ in range(STEPS - 1):
                step = step * 1.5
                norm(step, wing, given, running)
            if wing not in ("adaptive", "frozen"):
                case |= {"running_mean.after": running[0], "running_var.after": running[1]}
            values |= {f"{name}/{wing}/{k}": v.contiguous() for k, v in case.items()}
    settings = {"momentum": MOMENTUM, "epsilon": EPSILON, "steps": STEPS, "torch": torch.__version__}
    save_file(values, Path(__file__).with_name("layer.safetensors"), {k: json.dumps(v) for k, v in settings.items()})
    bad = [k for k, v in values.items() if not torch.isfinite(v).all()]
    print(f"{len(values)} tensors; not finite: {bad}")


if __name__ == "__main__":
    main()
