#!/usr/bin/env python3
"""How time and memory of adversarial training grow with batch, image, width, steps of the attack and classes.

    cargo bench --bench training --no-run
    python3 benches/compare/scaling.py --bench target/release/deps/training-... [--plot docs/scaling.svg]

Every line is a process of its own, so that its peak memory (Linux) is that of its sizes. "Growth" is the exponent p for
which the time of this line is that of the line before times (size / size before)^p: 1 is linear. The plot needs
matplotlib.
"""

import argparse
import math
import statistics

from training import Served

# What grows, with how the network and the work follow from it.
AXES = {
    "batch": ([16, 32, 64, 128, 256, 512], lambda n: (f"resnet8:32:{n}:10", "pgd-10")),
    "batch, update": ([16, 32, 64, 128, 256, 512], lambda n: (f"resnet8:32:{n}:10", "update")),
    "pixels": ([16**2, 32**2, 64**2, 128**2], lambda n: (f"resnet8:{math.isqrt(n)}:16:10", "pgd-10")),
    "pixels, update": ([16**2, 32**2, 64**2, 128**2], lambda n: (f"resnet8:{math.isqrt(n)}:16:10", "update")),
    "width": ([1, 2, 4, 8], lambda n: (f"wrn-16-{n}:32:16:10", "pgd-1")),
    "width, update": ([1, 2, 4, 8], lambda n: (f"wrn-16-{n}:32:16:10", "update")),
    "steps": ([1, 5, 10, 20, 50], lambda n: ("resnet8:32:64:10", f"pgd-{n}")),
    "classes": ([10, 100, 1000, 10000], lambda n: (f"resnet8:32:64:{n}", "pgd-10")),
    "classes, update": ([10, 100, 1000, 10000], lambda n: (f"resnet8:32:64:{n}", "update")),
}

# What the time should be proportional to.
LINEAR = ["batch", "pixels", "steps"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the program of `cargo bench --bench training --no-run`")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plot", help="write a plot to this file")
    return parser.parse_args()


def measured(options, network, work):
    """Median seconds and peak MiB."""
    served = Served([options.bench, "--serve"], options.threads)
    served.run(network, work)
    seconds = statistics.median(served.run(network, work) for _ in range(options.turns))
    peak = served.peak_mib()
    served.close()
    return seconds, peak


def plot(path, results):
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "scaling", "svg.fonttype": "none"})
    from matplotlib import pyplot

    axes = [axis for axis in results if ", " not in axis]
    figure, panels = pyplot.subplots(2, len(axes), figsize=(3 * len(axes), 5.5), sharex="col", sharey="row")
    for column, axis in enumerate(axes):
        above, below = panels[0][column], panels[1][column]
        for name, label, style in [(axis, "attack", "o-"), (f"{axis}, update", "update", "s--")]:
            if name in results:
                sizes, seconds, peaks = zip(*results[name])
                above.loglog(sizes, seconds, style, label=label)
                below.loglog(sizes, peaks, style, label=label)
        sizes, seconds, _ = zip(*results[axis])
        if axis in LINEAR:
            above.loglog(sizes, [seconds[-1] * size / sizes[-1] for size in sizes], ":", color="grey", label="linear")
        below.set_xlabel(axis)
        below.set_xticks(sizes, [str(size) for size in sizes], rotation=45)
    for panel in panels.flat:
        panel.minorticks_off()
        panel.grid(axis="y", alpha=0.4)
    panels[0][0].set_ylabel("seconds")
    panels[1][0].set_ylabel("peak memory, MiB")
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if str(path).endswith("svg") else None)


def main():
    options = arguments()
    results = {}
    print("| what grows | to | seconds | growth | MiB |")
    print("|---|---|---|---|---|")
    for axis, (sizes, case) in AXES.items():
        results[axis] = []
        for size in sizes:
            seconds, peak = measured(options, *case(size))
            growth = ""
            if results[axis]:
                before, earlier, _ = results[axis][-1]
                growth = f"{math.log(seconds / earlier) / math.log(size / before):.2f}"
            results[axis].append((size, seconds, peak))
            print(f"| {axis} | {size} | {seconds:.4f} | {growth} | {peak:.0f} |", flush=True)
    if options.plot:
        plot(options.plot, results)


if __name__ == "__main__":
    main()
