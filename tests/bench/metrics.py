"""The reference's formulas for one 672 px map on this machine, next to ours.

usage: python tests/bench/metrics.py        (then: cargo bench -p evaluate --bench metrics)
Needs numpy and scipy; with torch it also measures the dense 129 x 129 convolution that the reference runs.
"""

import time

import numpy as np
from scipy import ndimage

SIDE, ROUNDS = 672, 5


def clocked(name, run):
    run()
    since = time.perf_counter()
    for _ in range(ROUNDS):
        run()
    print(f"{name}: {1000 * (time.perf_counter() - since) / ROUNDS:.1f} ms")


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


def main():
    map = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    g = taps()

    def separable():
        rows = ndimage.correlate1d(map.astype(np.float64), g, axis=0, mode="mirror")
        return share(ndimage.correlate1d(rows, g, axis=1, mode="mirror"))

    clocked("scipy, GridPG with a separable Gaussian", separable)
    clocked("scipy, entropy", lambda: entropy(map))
    clocked("numpy, Gini", lambda: gini(map))
    try:
        import torch
    except ImportError:
        print("torch is not installed: the dense Gaussian was not measured")
        return
    kernel = torch.from_numpy(np.outer(g, g).astype(np.float32))[None, None]
    padded = torch.nn.functional.pad(torch.from_numpy(map)[None, None], [64] * 4, mode="reflect")
    clocked("torch, GridPG with the dense Gaussian", lambda: share(torch.nn.functional.conv2d(padded, kernel)[0, 0].numpy()))


if __name__ == "__main__":
    main()
