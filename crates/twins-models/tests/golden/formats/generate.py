"""Writes small checkpoints in the forms that published ones have, and some hostile ones.

    python3 generate.py        (PyTorch 2.6, dill 0.4; CPU; a few seconds)

The weights are those of ../torch, so that every file must give the logits of ../torch.
"""

import os
import pickle
import sys
from pathlib import Path

import dill
import torch
from safetensors.torch import load_file
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "torch"))
from reference_nets import mnist_cnn  # noqa: E402


class Arguments:
    """Stands for the configuration objects that training code pickles next to its weights."""

    def __init__(self):
        self.epochs, self.attack_lr = 90, 0.5


def robust_transfer(state):
    """The structure of robust-models-transfer's files: model, attacker, normaliser, optimiser."""
    model = {}
    model["module.normalizer.new_mean"] = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    model["module.normalizer.new_std"] = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    model.update({f"module.model.{key}": value for key, value in state.items()})
    model["module.attacker.normalize.new_mean"] = model["module.normalizer.new_mean"].clone()
    model["module.attacker.normalize.new_std"] = model["module.normalizer.new_std"].clone()
    # The attacker holds the same tensors, so the file holds their bytes once.
    model.update({f"module.attacker.model.{key}": value for key, value in state.items()})
    weights = [nn.Parameter(state["conv1.weight"].clone())]
    optimiser = torch.optim.SGD(weights, lr=0.1, momentum=0.9)
    weights[0].grad = torch.ones_like(weights[0])
    optimiser.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: 0.1 ** (epoch // 30))
    return {
        "model": model,
        "optimizer": optimiser.state_dict(),
        "schedule": {"lr_lambdas": schedule.lr_lambdas, "last_epoch": 90},
        "epoch": 90,
        "amp": None,
        "args": Arguments(),
        "custom_schedule": lambda epoch: 0.1,
    }


class Call:
    """Pickles as a call of `function` with `argument`; never called by this generator."""

    def __init__(self, function, argument):
        self.function, self.argument = function, argument

    def __reduce__(self):
        return (self.function, (self.argument,))


def main():
    torch.manual_seed(0)
    mnist = load_file(HERE.parent / "torch/mnist_cnn.safetensors")
    bottleneck = load_file(HERE.parent / "torch/bottleneck.safetensors")

    torch.save(mnist, HERE / "zip.pt")
    torch.save(mnist, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({key: value.half() for key, value in mnist.items()}, HERE / "half.pt")
    nested = {"epoch": 3, "best": 0.5, "state_dict": {f"module.{key}": value for key, value in mnist.items()}}
    nested["ema_state_dict"] = {key: value + 1 for key, value in nested["state_dict"].items()}
    torch.save(nested, HERE / "nested.pth.tar")
    module = mnist_cnn([2, 4], 8, 5)
    module.load_state_dict(mnist)
    torch.save(nn.Sequential(nn.Identity(), module), HERE / "whole_module.pt")
    torch.save(robust_transfer(bottleneck), HERE / "robust_transfer.ckpt", pickle_module=dill)
    calls = {"state_dict": mnist, "extra": Call(os.system, "echo this must never be run")}
    torch.save(calls, HERE / "calls_system.pt")
    (HERE / "calls_eval.pkl").write_bytes(pickle.dumps(Call(eval, "1 + 1"), protocol=2))


if __name__ == "__main__":
    main()
