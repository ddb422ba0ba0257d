"""Milliseconds for the metrics of one 672 px map smoothed as InputxGradient maps are: ours and the reference's formulas.

usage: python tests/bench/metrics.py [--program PATH] [--rounds N] [--threads N]
Needs torch, numpy and scipy. Without --program it runs `cargo bench --workspace --bench metrics`, which is the same
program. Prints a Markdown table.

The reference runs GridPG behind a dense 129 x 129 convolution in torch, entropy behind a 5 x 5 mean and Gini over sorted
values in NumPy; "separable" is what an expert would write with scipy instead. Ours takes a map as the tables store it, with
7 bits of mantissa, and one as it was computed.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import time
from importlib.metadata import version

import numpy as np
import torch
from machine import processor
from scipy import ndimage

SIDE = 672
ROOT = pathlib.Path(__file__).parents[2]


def clocked(run, rounds):
    run()
    taken = []
    for _ in range(rounds):
        since = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - since))
    return statistics.median(taken)


def taps():
    x = np.arange(-64, 65)
    g = np.exp(-(x**2) / (2 * 32.25**2))
    return g / g.sum()


def entropy(map):
    smooth = ndimage.uniform_filter(map, 5, mode="constant")
    p = np.maximum(smooth, 0)
    p = p / (p.sum() + 1e-10)
    return -(p * np.log2(p + 1e-10)).sum()


def gini(map):
    v = np.sort(np.maximum(map.flatten().astype(np.float64), 0) + 1e-7)
    n = len(v)
    return ((2 * np.arange(1, n + 1) - n - 1) * v).sum() / (n * v.sum())


def share(smooth):
    p = np.maximum(smooth, 0)
    return p[224:448, 224:448].sum() / (p.sum() + 1e-12)


def peers(rounds):
    map = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    g = taps()
    kernel = torch.from_numpy(np.outer(g, g).astype(np.float32))[None, None]
    padded = torch.nn.functional.pad(torch.from_numpy(map)[None, None], [64] * 4, mode="reflect")

    def separable():
        rows = ndimage.correlate1d(map.astype(np.float64), g, axis=0, mode="mirror")
        return share(ndimage.correlate1d(rows, g, axis=1, mode="mirror"))

    return {
        "grid_pointing_game": clocked(lambda: share(torch.nn.functional.conv2d(padded, kernel)[0, 0].numpy()), rounds),
        "separable": clocked(separable, rounds),
        "entropy": clocked(lambda: entropy(map), rounds),
        "gini": clocked(lambda: gini(map), rounds),
    }


def ours(program):
    command = [program, "--bench"] if program else ["cargo", "bench", "--workspace", "--bench", "metrics"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^(stored|unrounded) map, (.+): ([0-9.]+) ms$", text, re.MULTILINE)
    return {(kind, names): float(taken) for kind, names, taken in found}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    mine, theirs = ours(given.program), peers(given.rounds)
    theirs["grid_pointing_game + entropy + gini"] = sum(theirs[n] for n in ("grid_pointing_game", "entropy", "gini"))
    print(f"{processor()}, torch {version('torch')} on {given.threads} threads, numpy {version('numpy')}")
    print("\n| metric | ours, stored map, ms | ours, unrounded, ms | reference, ms | times faster, stored | unrounded |")
    print("|---|---|---|---|---|---|")
    for names, taken in theirs.items():
        asked = "grid_pointing_game" if names == "separable" else names
        stored, full = mine["stored", asked], mine["unrounded", asked]
        label = "GridPG beside scipy, separable" if names == "separable" else names
        print(f"| {label} | {stored:.1f} | {full:.1f} | {taken:.1f} | {taken / stored:.0f} | {taken / full:.0f} |")


if __name__ == "__main__":
    main()
