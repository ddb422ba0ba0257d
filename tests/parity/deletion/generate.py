"""Pixel deletion against Quantus' PixelFlipping, where that is right: one channel, no ties, steps that divide the pixels.

Elsewhere Quantus differs on purpose of ours: with three channels it broadcasts the map and takes single channel values
for pixels, ties fall as an unstable sort lets them, a baseline by name is computed anew from the perturbed picture, the
unperturbed score is missing from the curve, and the area has steps of 1. So the baseline is a number here, the first
point is added, and the area is its trapezium rule over the curve with that point, by the number of steps. Least
important first is its order by the negated map.

Quantus predicts in float32 and gives softmax probabilities; 2e-6 is a few of its roundings.
"""

import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import numpy as np
import quantus
import torch
from quantus.helpers.utils import calculate_auc

# NumPy 2.4 renamed what Quantus 0.6 calls.
np.trapz = np.trapezoid

SIDE = 12
STEP = 16
BASELINE = 0.25
TARGET = 3


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torch.nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.head = torch.nn.Conv2d(4, 5, SIDE, bias=False)

    def forward(self, x):
        # Larger weights than the formula's, so that the curve is far from flat.
        return 4 * self.head(torch.relu(self.trunk(x))).flatten(1)


def main() -> None:
    warnings.filterwarnings("ignore")
    found = formula.versions("torch", "quantus", "numpy")
    model = Small()
    tensors = formula.fill(model)
    image = formula.image([1, 1, SIDE, SIDE])
    importance = formula.unit("map", [1, 1, SIDE, SIDE]).astype(np.float32)
    assert len(np.unique(importance)) == SIDE * SIDE, "no ties"
    start = torch.softmax(model(torch.from_numpy(image)), 1)[0, TARGET].item()
    cases = {}
    for name, sign in (("most_first", 1), ("least_first", -1)):
        metric = quantus.PixelFlipping(
            features_in_step=STEP, normalise=False, abs=False, perturb_baseline=BASELINE, disable_warnings=True
        )
        scores = metric(
            model=model,
            x_batch=image,
            y_batch=np.array([TARGET]),
            a_batch=sign * importance,
            channel_first=True,
            softmax=True,
            device="cpu",
        )
        curve = [start, *scores[0]]
        cases[name] = {
            "curve": formula.numbers(curve),
            "area": float(calculate_auc(np.array(curve))) / (len(curve) - 1),
        }
    formula.write(
        __file__,
        {
            "versions": found,
            "tolerance": 2e-6,
            "side": SIDE,
            "steps": SIDE * SIDE // STEP,
            "baseline": BASELINE,
            "target": TARGET,
            "tensors": tensors,
            "cases": cases,
        },
    )


main()
