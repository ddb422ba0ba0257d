"""Short trainings of every kind of head in float64 numpy, from the same initial weights and batches as ours.

Features are maps of the formula, `[160, 12, 2, 2]`, not scaled; labels are the largest of the first five channels'
means. Heads are 1x1 convolutions with the pool last. Losses, optimisers, BatchNorm and schedules are written from the
formulas in PyTorch's and mmengine's documentation, B-cos layers from theirs (with B other than 2, its package adds 1e-6 to the cosine). Gradients are central differences of the
loss: at 200 parameters that is cheap, and no backward pass can be wrong in the same way as ours. Stored: the loss of
each epoch, the mean over its batches, each before its step, and norms of final tensors.

Tolerance 1e-4 of a loss or norm: float32 steps of ours against float64 steps, four epochs long.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import numpy as np
import streams

N, CHANNELS, CLASSES, HIDDEN, SIDE = 160, 12, 5, 7, 2
SEED, EPOCHS, BATCH = 3, 4, 32
STEP_OF_DIFFERENCE = 1e-6


def maps() -> np.ndarray:
    return (0.5 + 0.5 * formula.unit("maps", [N, CHANNELS, SIDE, SIDE])).astype(np.float32)


def start(case) -> dict:
    """Parameters under the names of the checkpoints, as flat names in a fixed order."""
    kind, layers = case["kind"], case["layers"]
    head = kind if kind == "linear" else f"{kind}{layers}"
    found = {}
    for index in range(layers):
        inputs = CHANNELS if index == 0 else HIDDEN
        outputs = CLASSES if index + 1 == layers else HIDDEN
        fc = "fc" if kind == "linear" else f"fc{index}"
        weight = streams.initial(case["seed"], head, f"{fc}.weight", [outputs, inputs, inputs])
        found[f"{fc}.linear.weight" if kind == "bcos" else f"{fc}.weight"] = weight.astype(np.float64)
        if case["bias"]:
            bias = streams.initial(case["seed"], head, f"{fc}.bias", [outputs, inputs])
            found[f"{fc}.bias"] = bias.astype(np.float64)
        if index + 1 < layers:
            found[f"bn{index}.weight"] = np.ones(HIDDEN)
            if case["norm"] == "batch":
                found[f"bn{index}.bias"] = np.zeros(HIDDEN)
    return found


def logits_of(case, p, cells):
    """`[tiles, positions, channels]` to `[tiles, classes]`, norms in training mode."""
    x = cells
    for index in range(case["layers"]):
        fc = "fc" if case["kind"] == "linear" else f"fc{index}"
        if case["kind"] == "bcos":
            weight = p[f"{fc}.linear.weight"]
            z = x @ (weight / np.linalg.norm(weight, axis=1, keepdims=True)).T
            cosine = np.abs(z) / np.sqrt((x**2).sum(-1, keepdims=True) + 1e-6)
            x = cosine * z if case["b"] == 2 else (cosine + 1e-6) ** (case["b"] - 1) * z
        else:
            x = x @ p[f"{fc}.weight"].T + p.get(f"{fc}.bias", 0.0)
        if index + 1 < case["layers"]:
            scale = p[f"bn{index}.weight"] / np.sqrt(x.var((0, 1)) + 1e-5)
            x = (x - x.mean((0, 1))) * scale + p[f"bn{index}.bias"] if case["norm"] == "batch" else x * scale
            if case["kind"] == "mlp":
                x = np.maximum(x, 0)
    return x.mean(1) + (-np.log(CLASSES - 1) if case["offset"] else 0.0)


def loss_of(case, p, cells, labels):
    z, hot = logits_of(case, p, cells), np.eye(CLASSES)[labels]
    if case["loss"] == "ce":
        target = (1 - case["smoothing"]) * hot + case["smoothing"] / CLASSES
        largest = z.max(1, keepdims=True)
        return -(target * (z - largest - np.log(np.exp(z - largest).sum(1, keepdims=True)))).sum(1).mean()
    target = np.maximum(hot, 1 / CLASSES) if case["loss"] == "bce" else hot
    return (np.logaddexp(0, z) - target * z).mean()


def gradients(case, p, cells, labels) -> dict:
    found = {name: np.zeros_like(value) for name, value in p.items()}
    for name, value in p.items():
        flat, slope = value.reshape(-1), found[name].reshape(-1)
        for i, middle in enumerate(flat.copy()):
            flat[i] = middle + STEP_OF_DIFFERENCE
            up = loss_of(case, p, cells, labels)
            flat[i] = middle - STEP_OF_DIFFERENCE
            slope[i] = (up - loss_of(case, p, cells, labels)) / (2 * STEP_OF_DIFFERENCE)
            flat[i] = middle
    return found


class Optimiser:
    """torch.optim.SGD (momentum 0.9), Adam and AdamW with their default constants."""

    def __init__(self, case, p):
        self.kind, self.decay, self.steps = case["optimiser"], case["weight_decay"], 0
        self.first = {name: np.zeros_like(value) for name, value in p.items()}
        self.second = {name: np.zeros_like(value) for name, value in p.items()}

    def step(self, p, slopes, rate):
        self.steps += 1
        for name, slope in slopes.items():
            if self.kind == "adamw":
                p[name] *= 1 - rate * self.decay
            else:
                slope = slope + self.decay * p[name]
            if self.kind == "sgd":
                self.first[name] = 0.9 * self.first[name] + slope
                p[name] -= rate * self.first[name]
                continue
            self.first[name] = 0.9 * self.first[name] + 0.1 * slope
            self.second[name] = 0.999 * self.second[name] + 0.001 * slope**2
            mean = self.first[name] / (1 - 0.9**self.steps)
            p[name] -= rate * mean / (np.sqrt(self.second[name] / (1 - 0.999**self.steps)) + 1e-8)


def factor(case, step, steps):
    """Written from mmengine's schedulers: multi-step by epoch; or linear warm-up of one epoch, then cosine by epoch."""
    epoch = step // steps
    if case["schedule"] == "step:2,3":
        return 0.1 ** sum(epoch >= at for at in (2, 3))
    if step < steps:
        return 0.01 + 0.99 * step / (steps - 1)
    return 0.5 * (1 + np.cos(np.pi * (epoch - 1) / (EPOCHS - 1)))


def run(case):
    cells = maps().astype(np.float64).reshape(N, CHANNELS, -1).transpose(0, 2, 1)
    labels = cells.mean(1)[:, :CLASSES].argmax(1)
    p = start(case)
    optimiser = Optimiser(case, p)
    steps, step, losses = -(-N // BATCH), 0, []
    for epoch in range(EPOCHS):
        total, order = 0.0, streams.order(SEED, epoch, N)
        for first in range(0, N, BATCH):
            rows = order[first : first + BATCH]
            total += loss_of(case, p, cells[rows], labels[rows]) * len(rows)
            slopes = gradients(case, p, cells[rows], labels[rows])
            optimiser.step(p, slopes, case["learning_rate"] * factor(case, step, steps))
            step += 1
        losses.append(total / N)
    print(case["kind"], case["layers"], case["loss"], case["optimiser"], losses)
    return {**case, "losses": losses, "norms": {name: np.linalg.norm(value) for name, value in p.items()}}


def case(kind, layers, loss, optimiser, learning_rate, schedule, **more):
    base = {"bias": False, "norm": "none", "offset": False, "smoothing": 0.0, "weight_decay": 0.0, "seed": 0, "b": 2.0}
    found = {"kind": kind, "layers": layers, "loss": loss, "optimiser": optimiser, "learning_rate": learning_rate}
    return {**found, "schedule": schedule, **base, **more}


STEP, WARM = "step:2,3", "epochs:1 from 0.01 cosine_by_epoch"
CASES = [
    case("linear", 1, "ce", "sgd", 0.5, STEP),
    case("linear", 1, "bce", "sgd", 2.0, STEP, bias=True, offset=True, seed=1),
    case("linear", 1, "ce", "sgd", 0.5, WARM, weight_decay=0.01, smoothing=0.1),
    case("linear", 1, "bce_plain", "adam", 0.02, WARM, weight_decay=0.01, bias=True),
    case("linear", 1, "ce", "adamw", 0.02, STEP, weight_decay=0.1),
    case("mlp", 2, "ce", "sgd", 0.1, STEP, norm="batch", bias=True),
    case("mlp", 3, "bce", "sgd", 0.3, WARM, norm="batch", offset=True),
    case("mlp", 2, "bce_plain", "adam", 0.01, STEP, norm="uncentred", seed=2),
    case("bcos", 1, "ce", "sgd", 0.1, STEP),
    case("bcos", 2, "bce", "sgd", 0.5, WARM, norm="uncentred", offset=True),
    case("bcos", 3, "bce", "sgd", 0.5, STEP, norm="uncentred", offset=True, seed=1),
    case("bcos", 1, "ce", "sgd", 0.1, STEP, b=1.0),
    case("bcos", 2, "bce", "sgd", 0.5, WARM, norm="uncentred", b=1.5),
    case("bcos", 4, "ce", "adam", 0.01, STEP, norm="uncentred", b=2.5),
    case("mlp", 4, "ce", "sgd", 0.1, WARM, norm="batch", bias=True, seed=1),
]


def main() -> None:
    content = {"tolerance": 1e-4, "versions": formula.versions("blake3", "numpy"), "cases": [run(c) for c in CASES]}
    formula.write(__file__, content)


if __name__ == "__main__":
    main()
