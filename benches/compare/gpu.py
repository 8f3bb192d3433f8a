#!/usr/bin/env python3
"""What benches/throughput.rs measures, in PyTorch: images per second of PGD-10 and of whole steps of TWINS-AT.

    python3 benches/compare/gpu.py resnet18-cifar:32:128:10 resnet50:224:64:100 [--device cuda:0] [--precisions f32,bf16]

Eager and with torch.compile, in the faster of the two memory formats. Matrix products and convolutions in f32 may use TF32. The
precision is that of the adversary's passes, which are made on a copy of the network in it; the update is in f32, and, as
`bf16-mixed`, with the adversary's copy in bf16 and the update under torch.autocast. A network is compiled once for each of its
modes; the loops of the attack and the optimiser are not.

Prints a line for each measurement, and appends it as JSON to the file that the variable TWINS_RECORDS names. Without PyTorch, or
without CUDA where the device is a GPU, it says so and succeeds.
"""

import argparse
import copy
import json
import os
import statistics
import sys
import time

WARM_UPS, BLOCKS = 3, 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", metavar="NETWORK:SIZE:BATCH:CLASSES")
    parser.add_argument("--device", default="cuda", help="as PyTorch names it")
    parser.add_argument("--precisions", default="f32,bf16", help="comma-separated")
    parser.add_argument("--modes", default="eager,compile", help="comma-separated")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement; 0 runs everything once, to see that it works")
    return parser.parse_args()


def record(measurement):
    path = os.environ.get("TWINS_RECORDS")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(measurement) + "\n")


class Training:
    """A network on a device with its optimiser; `precision` is that of the adversary's copy, `autocast` the update's."""

    epsilon, step_size, steps = 8 / 255, 2 / 255, 10

    def __init__(self, case, device, precision, autocast, compiled, last):
        import torch

        from training import networks

        self.torch, self.device = torch, torch.device(device)
        name, size, batch, classes = case.split(":")
        build, norm = networks()
        # TWINS-AT: each half of a training batch has its batch normalisation.
        norm.split = True
        memory_format = torch.channels_last if last else torch.contiguous_format
        self.net = build(name, int(classes)).to(self.device, memory_format=memory_format)
        self.copy = None
        if precision == "bf16":
            self.copy = copy.deepcopy(self.net).to(torch.bfloat16)
        self.victim = (self.copy or self.net).eval()
        self.trained = self.net
        if compiled:
            # The inference form and the training form are two graphs.
            self.victim, self.trained = torch.compile(self.victim), torch.compile(self.net)
        images = torch.rand(int(batch), 3, int(size), int(size), device=self.device)
        self.images = images.contiguous(memory_format=memory_format)
        self.labels = torch.arange(int(batch), device=self.device) % int(classes)
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
        self.autocast = autocast

    def wait(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)

    def seconds(self, work, runs):
        """Of each of so many runs."""
        run = {"pgd-10": self.adversarial, "twins-at": self.step}[work]
        self.wait()
        start = time.perf_counter()
        for _ in range(runs):
            run()
        self.wait()
        return (time.perf_counter() - start) / runs

    def adversarial(self):
        torch = self.torch
        dtype = torch.float32
        if self.copy is not None:
            dtype = torch.bfloat16
            with torch.no_grad():
                for mine, its in zip(self.copy.state_dict().values(), self.net.state_dict().values()):
                    mine.copy_(its)
        self.net.eval().requires_grad_(False)
        if self.copy is not None:
            self.copy.requires_grad_(False)
        point = self.images + torch.empty_like(self.images).uniform_(-self.epsilon, self.epsilon)
        point = point.clamp(0, 1)
        for _ in range(self.steps):
            point.requires_grad_()
            logits = self.victim(point.to(dtype)).float()
            loss = torch.nn.functional.cross_entropy(logits, self.labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, point)
            with torch.no_grad():
                point = point + self.step_size * gradient.sign()
                point = torch.min(torch.max(point, self.images - self.epsilon), self.images + self.epsilon)
                point = point.clamp(0, 1)
        return point.detach()

    def step(self):
        torch, functional = self.torch, self.torch.nn.functional
        adversarial, half = self.adversarial(), len(self.labels) // 2
        self.net.requires_grad_(True).train()
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            logits = self.trained(adversarial).float()
        loss = functional.cross_entropy(logits[:half], self.labels[:half])
        loss = loss + functional.cross_entropy(logits[half:], self.labels[half:])
        loss.backward()
        self.optimiser.step()


def measure(case, work, device, precision, mode, last, seconds):
    """Images per second with the rest of a record."""
    autocast = precision == "bf16-mixed"
    training = Training(case, device, "f32" if precision == "f32" else "bf16", autocast, mode == "compile", last)
    begin = time.perf_counter()
    warm_ups, turns = (WARM_UPS, BLOCKS) if seconds > 0 else (0, 1)
    for _ in range(warm_ups):
        training.seconds(work, 1)
    warm_up = time.perf_counter() - begin
    once = training.seconds(work, 1) if seconds > 0 else 1
    runs = max(1, min(1000, int(seconds / turns / once)))
    blocks = [training.seconds(work, runs) for _ in range(turns)]
    name, size, batch, _ = case.split(":")
    rate = int(batch) / statistics.median(blocks)
    return {
        "bench": "throughput", "implementation": f"PyTorch {mode}", "device": device, "network": name,
        "image_size": int(size), "batch": int(batch), "work": work, "precision": precision, "images_per_second": rate,
        "slowest": int(batch) / max(blocks), "fastest": int(batch) / min(blocks),
        "milliseconds": 1e3 * statistics.median(blocks), "runs": turns * runs, "warm_up_seconds": warm_up,
        "memory_format": "channels last" if last else "channels first",
    }


def main():
    options = arguments()
    try:
        import torch
    except ImportError:
        print("skipped: no PyTorch, so nothing to compare with")
        return
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(f"skipped: this PyTorch ({torch.__version__}) finds no GPU")
        return
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    failures = 0
    for case in options.cases:
        precisions = options.precisions.split(",")
        for work, precision in [
            *((work, precision) for precision in precisions for work in ["pgd-10", "twins-at"]),
            *([("twins-at", "bf16-mixed")] if "bf16" in precisions else []),
        ]:
            last = True
            for mode in options.modes.split(","):
                try:
                    if mode == "eager":
                        tried = [
                            measure(case, work, options.device, precision, mode, form, options.seconds)
                            for form in [False, True]
                        ]
                        found = max(tried, key=lambda one: one["images_per_second"])
                        last = found["memory_format"] == "channels last"
                    else:
                        torch._dynamo.reset()
                        found = measure(case, work, options.device, precision, mode, last, options.seconds)
                # One mode that does not work, for want of a compiler, say, leaves the others.
                except Exception as error:
                    failures += 1
                    print(f"{case} {work} {precision} PyTorch {mode}: {type(error).__name__}: {error}", flush=True)
                    continue
                record(found)
                print(
                    f"PyTorch {mode}: {case} {work} {precision}: {found['images_per_second']:.1f} images per second "
                    f"({found['slowest']:.1f} to {found['fastest']:.1f}), {found['milliseconds']:.2f} ms, "
                    f"{found['memory_format']}; warm-up {found['warm_up_seconds']:.1f} s",
                    flush=True,
                )
                if options.device.startswith("cuda"):
                    torch.cuda.empty_cache()
    sys.exit(int(failures > 0))


if __name__ == "__main__":
    main()
