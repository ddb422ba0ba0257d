"""torchvision's ResNet-50 (bottleneck blocks) on a formula image: logits, pooled features, layer means.

Expected numbers are computed in float64. Tolerance 1e-5 of each tensor's largest magnitude: float32 torch itself is
off by the printed gap, a few 1e-7; a wrong stride, padding or BatchNorm fold is off by more than 1e-2.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import torch
import torchvision

ARCHITECTURE = "resnet50"
SHAPE = [2, 3, 64, 64]


def main() -> None:
    found = formula.versions("torch", "torchvision", "numpy")
    model = getattr(torchvision.models, ARCHITECTURE)(weights=None, num_classes=10)
    tensors = formula.fill(model)
    single = model(torch.from_numpy(formula.image(SHAPE)))
    model = model.double()
    image = torch.from_numpy(formula.image(SHAPE)).double()

    kept = {}
    for name in ("maxpool", "layer1", "layer2", "layer3", "layer4"):
        module = getattr(model, name)
        module.register_forward_hook(lambda _m, _i, out, name=name: kept.__setitem__(name, out))
    logits = model(image)
    gap = float((single - logits).abs().max() / logits.abs().max())
    print("float32 gap", gap)
    formula.write(
        __file__,
        {
            "versions": found,
            "float32_gap": gap,
            "tolerance": 1e-5,
            "image": SHAPE,
            "tensors": tensors,
            "logits": formula.numbers(logits),
            "pooled": formula.numbers(kept["layer4"].mean((2, 3))),
            "layer_sums": {k: formula.numbers(v.sum((1, 2, 3))) for k, v in kept.items()},
        },
    )


if __name__ == "__main__":
    main()
