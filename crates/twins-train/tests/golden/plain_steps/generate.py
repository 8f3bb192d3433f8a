"""Training steps of the methods with one wing, from PyTorch (2.6, float32, CPU): `python3 generate.py`.

The net, its initial values and the batches are those of `../twins_steps/twins_at_batch8.safetensors`, with
torch.nn.BatchNorm2d where that has two wings.
"""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

HERE = Path(__file__).parent
BETA = 6.0
GAMMA = 0.05
RANK = 4
NATURAL_ACCURACY = 3 / 8


class Net(torch.nn.Module):
    def __init__(self, momentum, epsilon):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(8, momentum=momentum, eps=epsilon)
        self.conv2 = torch.nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(16, momentum=momentum, eps=epsilon)
        self.fc = torch.nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


def standard(net, clean, adversarial, label):
    logits = net(clean)
    return logits, F.cross_entropy(logits, label)


def at(net, clean, adversarial, label):
    logits = net(adversarial)
    return logits, F.cross_entropy(logits, label)


def trades(net, clean, adversarial, label):
    """Zhang et al., ICML 2019, equation 5; the adversarial pass first."""
    logits, natural = net(adversarial), net(clean)
    divergence = F.kl_div(F.log_softmax(logits, 1), F.softmax(natural, 1), reduction="batchmean")
    return logits, F.cross_entropy(natural, label) + BETA * divergence


def mart(net, clean, adversarial, label):
    """Wang et al., ICLR 2020, equation 11 with its boosted cross-entropy; the adversarial pass first."""
    logits, natural = net(adversarial), net(clean)
    p, q = F.softmax(logits, 1), F.softmax(natural, 1)
    rival = p.scatter(1, label[:, None], -1.0).amax(1)
    boosted = F.cross_entropy(logits, label) - torch.log(1.0001 - rival).mean()
    divergence = (q * (F.log_softmax(natural, 1) - F.log_softmax(logits, 1))).sum(1)
    return logits, boosted + BETA * (divergence * (1 - q.gather(1, label[:, None])[:, 0])).mean()


class AutoLora:
    """Xu et al., ICLR 2024, as the authors' code trains it: the natural branch has the shared normalisation and head,
    gives no gradient to the backbone, runs first, and is not detached in the divergence. Changed are all convolutions."""

    def __init__(self, net):
        draws = torch.Generator().manual_seed(7)
        self.factors = {}
        for name in ("conv1.weight", "conv2.weight"):
            rows, *rest = dict(net.named_parameters())[name].shape
            a = torch.randn(RANK, torch.Size(rest).numel(), generator=draws)
            self.factors[name] = {"a": a.requires_grad_(), "b": torch.zeros(rows, RANK, requires_grad=True)}

    def named_parameters(self):
        return [(f"auto-lora.{name}.{k}", p) for name, pair in self.factors.items() for k, p in pair.items()]

    def __call__(self, net, clean, adversarial, label):
        weights = {k: p if k.startswith("fc.") else p.detach() for k, p in net.named_parameters()}
        for name, pair in self.factors.items():
            weights[name] = weights[name] + (pair["b"] @ pair["a"]).view_as(weights[name]) / RANK
        natural = torch.func.functional_call(net, weights, (clean,))
        logits = net(adversarial)
        first, second = 1 - NATURAL_ACCURACY, 6 * NATURAL_ACCURACY
        divergence = F.kl_div(F.log_softmax(logits, 1), F.softmax(natural, 1), reduction="batchmean")
        loss = first * F.cross_entropy(natural, label) + (1 - first) * F.cross_entropy(logits, label)
        return logits, loss + second * divergence


def weight_perturbation(net, objective, clean, adversarial, label):
    """Wu et al., NeurIPS 2020, as the authors' code finds it: one SGD step uphill of a proxy, scaled per layer."""
    proxy = copy.deepcopy(net)
    (-objective(proxy, clean, adversarial, label)[1]).backward()
    torch.optim.SGD(proxy.parameters(), 0.01).step()
    moved = dict(proxy.named_parameters())
    differences = {k: (moved[k] - p).detach() for k, p in net.named_parameters() if p.dim() > 1}
    return {k: GAMMA * net.get_parameter(k).norm() / (d.norm() + 1e-20) * d for k, d in differences.items()}


@torch.no_grad()
def add(net, perturbation, sign):
    for name, value in perturbation.items():
        net.get_parameter(name).add_(sign * value.detach())


def entry(name):
    """PyTorch's name as the two-wing file has it."""
    layer, _, rest = name.partition(".")
    return f"{layer}.adaptive.{rest}" if layer.startswith("bn") else name


def main():
    with safe_open(HERE / "../twins_steps/twins_at_batch8.safetensors", "pt") as file:
        base, settings = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()
    number = {k: float(v) for k, v in settings.items()}
    cases = [("standard", standard), ("at", at), ("trades", trades), ("mart", mart), ("auto_lora", AutoLora)]
    for case, objective in cases + [("at_awp", at), ("trades_awp", trades), ("linear_probe", at)]:
        net = Net(number["bn_momentum"], number["bn_epsilon"])
        state = {k: base[f"initial.{entry(k)}"] for k in net.state_dict() if "num_batches" not in k}
        net.load_state_dict(state, strict=False)
        objective = objective(net) if objective is AutoLora else objective
        extra = objective.named_parameters() if isinstance(objective, AutoLora) else []
        probe = case == "linear_probe"
        net.requires_grad_(not probe).fc.requires_grad_()
        trained = [(k, p) for k, p in [*net.named_parameters(), *extra] if p.requires_grad]
        sgd = torch.optim.SGD(
            [p for _, p in trained], number["lr"], momentum=number["momentum"], weight_decay=number["weight_decay"]
        )
        values, losses = {f"initial.{k}": p.detach().clone() for k, p in extra}, []
        for step in (1, 2, 3):
            clean, label = base[f"step{step}.clean"], base[f"step{step}.label"].long()
            # Far from the clean images, so that the divergence weighs something in this untrained net.
            adversarial = 1 - clean
            net.train(not probe)
            perturbation = {}
            if case.endswith("_awp"):
                perturbation = weight_perturbation(net, objective, clean, adversarial, label)
            add(net, perturbation, 1)
            logits, loss = objective(net, clean, adversarial, label)
            sgd.zero_grad()
            loss.backward()
            losses.append(loss.item())
            if step == 1:
                values["step1.logits"] = logits.detach()
                values |= {f"step1.grad.{entry(k)}": p.grad.clone() for k, p in trained}
            sgd.step()
            # Not exactly where the step would have ended from the weights themselves: the decay counted the perturbation.
            add(net, perturbation, -1)
            after = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
            after |= {k: p.detach() for k, p in extra}
            values |= {f"step{step}.after.{entry(k)}": v.clone() for k, v in after.items()}
        values["losses"] = torch.tensor(losses)
        images = base["eval.images"].clone().requires_grad_()
        logits = net.eval()(images)
        F.cross_entropy(logits, base["eval.label"].long(), reduction="sum").backward()
        values |= {"eval.adaptive.logits": logits.detach(), "eval.adaptive.input_grad": images.grad}
        save_file({k: v.contiguous() for k, v in values.items()}, HERE / f"{case}.safetensors")
        print(case, losses)


if __name__ == "__main__":
    main()
