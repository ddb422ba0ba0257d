"""Heads of the reference's shape in PyTorch, float64: forward, loss and gradient once, then 30 epochs of SGD.

B-cos layers and their norm are those of the bcos package, BatchNorm, losses and SGD those of torch, the focal loss that of
torchvision; weights, batches and features are those that the probe stage draws, features not scaled. Names of the tensors
are those of the reference's heads (`head.fc0.linear.weight`), and each head loads its own with `strict=True` when the
counters of batches are left out, as our files leave them out.

Stored a case: names and shapes; the gradient of the mean loss over all tiles at the initial weights, norms in training
mode; the mean loss of each of 30 epochs of 5 batches, each before its step; then, in evaluation, loss, gradient norm and the
logits of some tiles.

Tolerance 1e-4 of a loss, as the project promises, and of the largest logit or gradient: float32 steps against float64 ones.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import numpy as np
import streams
import torch
from bcos.modules import BcosConv2d
from bcos.modules.norms import BatchNormUncentered2d, NoBias
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

N, CHANNELS, CLASSES, HIDDEN, SIDE = 160, 12, 5, 7, 2
SEED, EPOCHS, BATCH, SHOWN = 3, 30, 32, 8


class Head(torch.nn.Module):
    """1x1 layers, norms between them, the pool last, then the fixed constant."""

    def __init__(self, case):
        super().__init__()
        self.kind, self.layers = case["kind"], case["layers"]
        self.offset = -np.log(CLASSES - 1) if case["offset"] else 0.0
        for index in range(self.layers):
            inputs = CHANNELS if index == 0 else HIDDEN
            outputs = CLASSES if index + 1 == self.layers else HIDDEN
            if self.kind == "bcos":
                layer = BcosConv2d(inputs, outputs, kernel_size=1, b=2, max_out=1)
            else:
                layer = torch.nn.Conv2d(inputs, outputs, 1, bias=case["bias"])
            self.add_module(self.name(case, index), layer)
            if index + 1 < self.layers:
                norm = torch.nn.BatchNorm2d if self.kind == "mlp" else NoBias(BatchNormUncentered2d)
                self.add_module(f"bn{index}", norm(HIDDEN))
        self.case = case

    @staticmethod
    def name(case, index):
        return "fc" if case["kind"] == "linear" and not case["several"] else f"fc{index}"

    def forward(self, x):
        for index in range(self.layers):
            x = getattr(self, self.name(self.case, index))(x)
            if index + 1 < self.layers:
                x = getattr(self, f"bn{index}")(x)
                x = functional.relu(x) if self.kind == "mlp" else x
        return x.mean((2, 3)) + self.offset


def begin(case) -> Head:
    head = Head(case).double()
    kind = case["kind"] if case["kind"] == "linear" else f"{case['kind']}{case['layers']}"
    state = head.state_dict()
    for key, value in state.items():
        layer, part = key.split(".")[0], key.rsplit(".", 1)[-1]
        if not layer.startswith("fc"):
            continue
        ours = "fc" if case["kind"] == "linear" else layer
        fan_in = CHANNELS if layer in ("fc", "fc0") else HIDDEN
        shape = list(value.shape[:2])
        drawn = streams.initial(case["seed"], kind, f"{ours}.{part}", [*shape, fan_in])
        state[key] = torch.from_numpy(drawn.astype(np.float64)).reshape(value.shape)
    counted = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    head.load_state_dict(counted, strict=True)
    return head


def loss_of(case, z, hot):
    if case["loss"] == "ce":
        shares = hot / hot.sum(1, keepdim=True)
        return functional.cross_entropy(z, shares, label_smoothing=case["smoothing"])
    if case["loss"] == "focal":
        return sigmoid_focal_loss(z, hot, reduction="mean")
    target = hot.clamp_min(1 / CLASSES) if case["loss"] == "bce" else hot
    return functional.binary_cross_entropy_with_logits(z, target)


def data(case):
    maps = (0.5 + 0.5 * formula.unit("maps", [N, CHANNELS, SIDE, SIDE])).astype(np.float32)
    pooled = maps.reshape(N, CHANNELS, -1).astype(np.float64).mean(-1).astype(np.float32)[:, :CLASSES]
    hot = np.eye(CLASSES)[pooled.argmax(1)]
    if case["several"]:
        # The largest channel and every other one above 0.7.
        hot = np.maximum(hot, (pooled > 0.7).astype(np.float64))
    return torch.from_numpy(maps.astype(np.float64)), torch.from_numpy(hot)


def norm_of(head) -> float:
    return float(torch.sqrt(sum((parameter.grad**2).sum() for parameter in head.parameters())))


def run(case):
    head, (maps, hot) = begin(case), data(case)
    shapes = {f"head.{key}": list(value.shape) for key, value in head.state_dict().items()}
    names = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    head.train()
    first = loss_of(case, head(maps), hot)
    first.backward()
    gradients = {f"head.{key}": formula.numbers(value.grad) for key, value in head.named_parameters()}

    head = begin(case).train()
    optimiser = torch.optim.SGD(head.parameters(), lr=case["learning_rate"], momentum=0.9)
    losses = []
    for epoch in range(EPOCHS):
        total, order = 0.0, streams.order(SEED, epoch, N)
        for start in range(0, N, BATCH):
            rows = order[start : start + BATCH]
            optimiser.zero_grad()
            loss = loss_of(case, head(maps[rows]), hot[rows])
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        losses.append(total / N)
    head.eval().zero_grad()
    logits = head(maps)
    loss = loss_of(case, logits, hot)
    loss.backward()
    print(case["kind"], case["layers"], case["loss"], losses[0], losses[-1], float(loss), norm_of(head))
    return {
        **case,
        "names": names,
        "first_loss": float(first),
        "gradients": gradients,
        "losses": losses,
        "final_loss": float(loss),
        "gradient_norm": norm_of(head),
        "logits": formula.numbers(logits[:SHOWN].detach()),
    }


def case(kind, layers, loss, learning_rate, **more):
    base = {"bias": False, "offset": False, "smoothing": 0.0, "several": False, "seed": 0}
    return {"kind": kind, "layers": layers, "loss": loss, "learning_rate": learning_rate, **base, **more}


CASES = [
    case("linear", 1, "ce", 0.3),
    case("linear", 1, "bce", 1.0, bias=True, offset=True, seed=1),
    case("linear", 1, "ce", 0.3, smoothing=0.1, bias=True),
    case("linear", 1, "bce_plain", 1.0, several=True),
    case("linear", 1, "ce", 0.3, several=True, seed=2),
    case("mlp", 2, "ce", 0.03, bias=True),
    case("mlp", 3, "bce", 0.1, offset=True, seed=1),
    case("mlp", 2, "focal", 0.3, bias=True, several=True),
    case("bcos", 1, "ce", 0.1),
    case("bcos", 1, "bce", 0.5, offset=True, several=True),
    case("bcos", 2, "bce", 0.2, offset=True),
    case("bcos", 3, "bce_plain", 0.2, offset=True, seed=1),
    case("bcos", 3, "ce", 0.05, offset=True, seed=2),
]


def main() -> None:
    torch.set_num_threads(1)
    names = ("blake3", "numpy", "torch", "torchvision", "bcos")
    content = {"tolerance": 1e-4, "versions": formula.versions(*names), "cases": [run(c) for c in CASES]}
    formula.write(__file__, content)


if __name__ == "__main__":
    main()
