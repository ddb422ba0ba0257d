"""What a benchmark ran on, and what such a machine can do at most.

usage: python tests/bench/machine.py [--threads N] [--device cuda]
Prints the rate of a large float32 product (and of bfloat16 on a GPU) and of copying memory, the two floors of
data/bench/README.md. Needs torch.
"""

import argparse
import pathlib
import platform
import time


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    width = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{names[0] if names else platform.processor()}, {len(names)} CPUs, {width}"


def best(work, device, rounds=7):
    """The shortest of several times; the machine cannot be faster than it was once."""
    import torch

    times = []
    for _ in range(rounds):
        since = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - since)
    return min(times)


def main():
    import torch

    arguments = argparse.ArgumentParser()
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", default="cpu")
    arguments = arguments.parse_args()
    device = arguments.device
    torch.set_num_threads(arguments.threads)
    side, values = (1024, 1 << 26) if device == "cpu" else (8192, 1 << 30)
    print(f"{processor()}; {arguments.threads} threads; {device}; torch {torch.__version__}")
    for kind in [torch.float32] if device == "cpu" else [torch.float32, torch.bfloat16]:
        a, b = (torch.rand(side, side, device=device).to(kind) for _ in range(2))
        seconds = best(lambda: a @ b, device)
        print(f"product of {side} x {side}, {kind}: {2 * side**3 / seconds / 1e9:.0f} GFLOP/s")
    source = torch.rand(values, device=device)
    target = torch.empty_like(source)
    seconds = best(lambda: target.copy_(source), device)
    print(f"copy of {4 * values / 1e9:.2f} GB: {2 * 4 * values / seconds / 1e9:.1f} GB/s read and written")


if __name__ == "__main__":
    main()
