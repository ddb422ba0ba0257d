"""Samples per second of training linear probes, ours and PyTorch's in turn, on the same arrays.

usage: python tests/bench/probes.py [--programs DIR] [--rounds N] [--threads 1,2] [--images N] [--device cuda]
Needs torch. Without --programs, where tests/bench/gpu.sh puts them, it runs `cargo bench --workspace --bench linear`, which
is the same program.

20,000 features of 2,048 channels, 1,000 classes, batches of 256 in a new order each epoch, SGD with momentum 0.9: one
linear head with cross entropy, and a sweep of 16 heads, half of them with BCE, each with its own step size, on the same
batches. PyTorch is run as its user would write it: a layer, a loss and an optimiser a head, all heads on a batch before
the next one, nothing tracked but the loss. "torch, stacked" is the sweep with all heads as one layer, which an expert
might write. "DataLoader" is one training a head, each with a DataLoader over a TensorDataset. Both sides sum the loss of
each batch. A sample is an image seen by one head. An epoch to warm up is not counted. On a GPU all arrays lie there.
On a machine that others use, compare CPU seconds at one thread.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import torch
from machine import processor
from ours import Program

CHANNELS, CLASSES, BATCH, SWEEP = 2048, 1000, 256, 16


def rate(head):
    return 0.1 / (1 + head)


def loss_of(head, logits, labels, off):
    if head % 2 == 0:
        return torch.nn.functional.cross_entropy(logits, labels)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, off)


def epoch_of_heads(x, y, count):
    heads = [torch.nn.Linear(CHANNELS, CLASSES, bias=False) for _ in range(count)]
    steps = [torch.optim.SGD(head.parameters(), lr=rate(i), momentum=0.9) for i, head in enumerate(heads)]

    def epoch():
        total = 0.0
        for rows in torch.randperm(len(x)).split(BATCH):
            inputs, labels = x[rows], y[rows]
            off = torch.full((len(rows), CLASSES), 1 / CLASSES).scatter_(1, labels[:, None], 1.0) if count > 1 else None
            for index, (head, step) in enumerate(zip(heads, steps)):
                step.zero_grad()
                loss = loss_of(index, head(inputs), labels, off)
                loss.backward()
                step.step()
                total += loss.item() * len(rows) if index == 0 else 0.0
        return total / len(x)

    return epoch


def epoch_of_loaders(x, y, count):
    """One training a head, each with a DataLoader of its own over a TensorDataset, as most scripts have it."""
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, generator=torch.Generator(x.device))
    heads = [torch.nn.Linear(CHANNELS, CLASSES, bias=False) for _ in range(count)]
    steps = [torch.optim.SGD(head.parameters(), lr=rate(i), momentum=0.9) for i, head in enumerate(heads)]

    def epoch():
        first = 0.0
        for index, (head, step) in enumerate(zip(heads, steps)):
            total = 0.0
            for inputs, labels in loader:
                off = None
                if index % 2 == 1:
                    off = torch.nn.functional.one_hot(labels, CLASSES).float().clamp(min=1 / CLASSES)
                step.zero_grad()
                loss = loss_of(index, head(inputs), labels, off)
                loss.backward()
                step.step()
                total += loss.item() * len(labels)
            first = total if index == 0 else first
        return first / len(x)

    return epoch


def epoch_stacked(x, y, count):
    """All heads as one layer; one optimiser, the step sizes as a factor on the weights' gradients is not offered by SGD,
    so all heads take one step size."""
    layer = torch.nn.Linear(CHANNELS, CLASSES * count, bias=False)
    step = torch.optim.SGD(layer.parameters(), lr=rate(0), momentum=0.9)

    def epoch():
        total = 0.0
        for rows in torch.randperm(len(x)).split(BATCH):
            inputs, labels = x[rows], y[rows]
            off = torch.full((len(rows), CLASSES), 1 / CLASSES).scatter_(1, labels[:, None], 1.0)
            step.zero_grad()
            parts = layer(inputs).view(len(rows), count, CLASSES).unbind(1)
            losses = [loss_of(index, part, labels, off) for index, part in enumerate(parts)]
            sum(losses).backward()
            step.step()
            total += losses[0].item() * len(rows)
        return total / len(x)

    return epoch


def theirs(epoch):
    epoch()
    since, spent = time.perf_counter(), time.process_time()
    # Every batch's loss is read, so a GPU is done when the epoch is.
    loss = epoch()
    return time.perf_counter() - since, time.process_time() - spent, loss


def product(m, k, n):
    """GFLOP a CPU second of torch's product of these sizes on one thread."""
    torch.set_num_threads(1)
    left, right = torch.rand(m, k, device="cpu"), torch.rand(n, k, device="cpu").T
    torch.mm(left, right)
    spent, count = time.process_time(), 0
    while time.process_time() - spent < 2:
        torch.mm(left, right)
        count += 1
    return 2e-9 * m * k * n * count / (time.process_time() - spent)


def empty_file(directory):
    """Features of one image, for a program that is asked for products only."""
    file = pathlib.Path(directory) / "none"
    file.write_bytes(bytes(4 * CHANNELS + 4))
    return file


class Ours(Program):
    def __init__(self, arguments, threads, file, images):
        program = arguments.programs and arguments.programs / "linear"
        super().__init__("linear", program, threads, arguments.device)
        if self.ask(f"read {file} {images} {CHANNELS} {CLASSES}") != "ready":
            raise SystemExit("our program did not read the features")

    def product(self, m, k, n):
        return self.numbers(f"product {m} {k} {n}")[0]

    def epoch(self, heads):
        return self.numbers(f"{heads} {BATCH} 2")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--programs", type=pathlib.Path, help="where gpu.sh put the built benchmark")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--images", type=int, default=20_000)
    arguments.add_argument("--lines", default="one,sweep,stacked,loader,loaders")
    arguments = arguments.parse_args()
    torch.set_default_device(arguments.device)
    torch.manual_seed(0)
    x = torch.rand(arguments.images, CHANNELS)
    y = torch.randint(0, CLASSES, (arguments.images,))
    runs = {"one": (1, epoch_of_heads, "1 head"), "sweep": (SWEEP, epoch_of_heads, f"{SWEEP} heads")}
    runs["loader"] = (1, epoch_of_loaders, "1 head, torch with a DataLoader")
    runs["loaders"] = (SWEEP, epoch_of_loaders, f"{SWEEP} heads, torch with a DataLoader each")
    runs["stacked"] = (SWEEP, epoch_stacked, f"{SWEEP} heads, torch stacked")
    print(f"date: {time.strftime('%Y-%m-%d')}; {processor()}; torch {torch.__version__}; medians of {arguments.rounds}")
    with tempfile.TemporaryDirectory() as directory:
        ours = Ours(arguments, 1, empty_file(directory), 1)
        for shape in ((CLASSES, CHANNELS, BATCH), (CLASSES, BATCH, CHANNELS), (SWEEP * CLASSES, CHANNELS, BATCH)):
            speeds = [ours.product(*shape), product(*shape)]
            print(f"product {shape} on one thread, GFLOP a CPU second: {speeds[0]:.0f} ours, {speeds[1]:.0f} torch")
        del ours
    print("| threads | heads | ours, samples/s | torch, samples/s | times faster | in CPU time |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "features"
        file.write_bytes(x.cpu().numpy().astype("<f4").tobytes() + y.cpu().numpy().astype("<i4").tobytes())
        for threads in map(int, arguments.threads.split(",")):
            torch.set_num_threads(threads)
            ours = Ours(arguments, threads, file, arguments.images)
            for heads, epochs, title in (runs[name] for name in arguments.lines.split(",")):
                pairs = []
                for _ in range(arguments.rounds):
                    mine, other = ours.epoch(heads), theirs(epochs(x, y, heads))
                    pairs.append((mine, other))
                    print(f"# seconds, CPU seconds, loss: {mine} ours, {other} torch", file=sys.stderr, flush=True)
                median = lambda side, kind: statistics.median(pair[side][kind] for pair in pairs)
                ratio = lambda kind: statistics.median(pair[1][kind] / pair[0][kind] for pair in pairs)
                samples = [heads * arguments.images / median(side, 0) for side in (0, 1)]
                cells = [threads, title, *(f"{s:,.0f}" for s in samples), f"{ratio(0):.2f}", f"{ratio(1):.2f}"]
                print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
