#!/usr/bin/env python3
"""The results that .ci/gpu left in a folder, as tables for docs/backends.md.

    python3 benches/compare/gpu_table.py RESULTS >RESULTS/table.md
"""

import json
import sys
from pathlib import Path

COLUMNS = ["burn-twins", "PyTorch eager", "PyTorch compile"]


def table(head, rows):
    """A table's lines, and an empty one after it."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def rate(value):
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def throughput(records):
    """Images per second of each work, ours beside PyTorch's."""
    cases = {}
    for one in records:
        key = (one["network"], one["image_size"], one["batch"], one["work"], one["precision"])
        cases.setdefault(key, {})[one["implementation"]] = one
    rows = []
    for (network, size, batch, work, precision), found in cases.items():
        rates = {name: one["images_per_second"] for name, one in found.items()}
        ratio = ""
        if COLUMNS[0] in rates and COLUMNS[1] in rates:
            ratio = f"{rates[COLUMNS[0]] / rates[COLUMNS[1]]:.2f}"
        warm_up = found[COLUMNS[0]]["warm_up_seconds"] if COLUMNS[0] in found else None
        rows.append(
            [network, f"{size} × {size}", batch, work, precision, *(rate(rates.get(name)) for name in COLUMNS), ratio]
            + ["" if warm_up is None else f"{warm_up:.1f}"]
        )
    head = ["network", "images", "batch", "work", "precision", "images/s, ours", "PyTorch eager", "torch.compile"]
    return table([*head, "ours / eager", "warm-up, s"], rows)


def suites(records):
    rows = [[one["suite"], one["tests"].replace("::", ""), one["passed"], one["failed"], one["failures"]] for one in records]
    return table(["device", "tests", "passed", "failed", "which failed"], rows)


def accuracy(kind, summary):
    """In per cent. Without a summary every run has diverged; without a deviation all but one have."""
    if summary is None:
        return f"{kind} diverged"
    deviation = summary["standard_deviation"]
    return f"{kind} {100 * summary['mean']:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")


def studies(records):
    rows = []
    for one in records:
        metrics = [metric["kind"] for metric in one["results"]["metrics"]]
        for arm in one["results"]["arms"]:
            means = {summary["metric"]: summary for summary in arm["summaries"] if summary["checkpoint"] == "best"}
            cells = [accuracy(kind, means.get(kind)) for kind in metrics]
            rows.append([one["study"], one["precision"], arm["name"], ", ".join(cells), f"{one['seconds']:.1f}"])
    return table(["main job on", "precision", "method", "accuracy, %", "seconds in all"], rows)


def autoattacks(records):
    rows = []
    for one in records:
        report = one["report"]
        counts = [f"{report[part]['correct']} of {report[part]['total']}" for part in ["clean", "robust"]]
        stages = ", ".join(f"{stage['attack']} {stage['robust']}" for stage in report["stages"])
        rows.append([one["autoattack"], counts[0], stages, counts[1], f"{one['seconds']:.1f}"])
    return table(["AutoAttack on", "clean", "remain correct after", "robust", "seconds"], rows)


def layers(records):
    rows = [
        [one["device"], "×".join(map(str, one["shape"])), one["row"], f"{one['milliseconds']:.3f}", f"{one['layer_milliseconds']:.3f}"]
        for one in records
    ]
    return table(["device", "shape", "layer", "ms", "ms, the layer alone"], rows)


def trainings(records):
    rows = [
        [one["device"], one["network"], f"{one['image_size']} × {one['image_size']}", one["batch"], one["work"], f"{one['milliseconds']:.2f}"]
        for one in records
    ]
    return table(["device", "network", "images", "batch", "work", "ms"], rows)


def attacks(records):
    rows = [[one["device"], one["norm"], one["attack"], rate(one["images_per_second"])] for one in records]
    return table(["device", "norm", "attack", "images/s through the model"], rows)


# What marks the records of a table, in the order of the tables.
TABLES = [
    (lambda one: "suite" in one, suites),
    (lambda one: one.get("bench") == "throughput", throughput),
    (lambda one: "study" in one, studies),
    (lambda one: "autoattack" in one, autoattacks),
    (lambda one: one.get("bench") == "layer", layers),
    (lambda one: one.get("bench") == "training", trainings),
    (lambda one: one.get("bench") == "attacks", attacks),
]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    steps = [json.loads(path.read_text()) for path in sorted(Path(sys.argv[1]).glob("*.json")) if ".report." not in path.name]
    records = [one for step in steps for one in step["records"]]
    lines = []
    if any(step["rehearsal"] for step in steps):
        lines += ["A rehearsal with the smallest sizes: these numbers measure nothing.", ""]
    for one in records:
        if "gpu" in one:
            lines += [f"GPU: {one['gpu']}. CPU: {one['cpu']}, {one['cores']} cores. PyTorch {one['torch']}. {one['version']}.", ""]
    rows = []
    for step in steps:
        reason = "; ".join(one["skipped"] for one in step["records"] if "skipped" in one)
        rows.append([step["step"], step["device"], step["outcome"] + (f": {reason}" if reason else ""), step["seconds"]])
    lines += table(["step", "device", "outcome", "seconds"], rows)
    for belongs, make in TABLES:
        chosen = [one for one in records if belongs(one)]
        if chosen:
            lines += make(chosen)
    print("\n".join(lines), end="")


if __name__ == "__main__":
    main()
