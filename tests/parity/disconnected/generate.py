"""DiFull and DiPart grids of Rao et al. (CVPR 2022) on a small network: maps by captum, and the score of their code.

The wrappers below say what `models/settings.py` of github.com/sukrutrao/Attribution-Evaluation says: DiFull cuts the cell
out of the input, DiPart out of the features; the attribution method sees a function of the whole grid. Grad-CAM at the
last layer is theirs too (`GradCamBase`, pooled gradients of the stitched features), without its ReLU: scores clip for
themselves. The score is `get_localization_score_single` of `evaluation/localization.py`.

Maps are float32 here and there; 2e-5 of the largest value is the rounding of a few hundred sums.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import torch
from captum.attr import InputXGradient

CELL = 12
TARGET = 3


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(8, 6, 3, padding=1)
        self.head = torch.nn.Conv2d(6, 5, 1)

    def features(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))))

    def logits(self, features):
        return self.head(features).mean((2, 3))


def cut(x, grid, cell):
    height, width = x.shape[2] // grid, x.shape[3] // grid
    y, x0 = cell // grid * height, cell % grid * width
    return x[:, :, y : y + height, x0 : x0 + width]


def stitched(model, x, grid):
    rows = [[model.features(cut(x, grid, row * grid + column)) for column in range(grid)] for row in range(grid)]
    return torch.cat([torch.cat(row, 3) for row in rows], 2)


def localisation(attribution, grid, cell):
    positive = attribution.clamp(min=0)
    total = positive.sum()
    return (cut(positive, grid, cell).sum() / total).item() if total > 1e-7 else 0.0


def main() -> None:
    found = formula.versions("torch", "captum")
    model = Small().eval()
    tensors = formula.fill(model)
    cases = {}
    for grid in (2, 3):
        image = torch.from_numpy(formula.image([1, 3, CELL * grid, CELL * grid])) - 0.5
        for setting in ("difull", "dipart"):
            for cell in (0, grid * grid - 1):
                if setting == "difull":
                    forward = lambda x: model.logits(model.features(cut(x, grid, cell)))
                    features = stitched(model, image, grid)
                else:
                    forward = lambda x: model.logits(cut(model.features(x), grid, cell))
                    features = model.features(image)
                by_input = InputXGradient(forward).attribute(image.clone().requires_grad_(), target=TARGET)
                by_input = by_input.sum(1, keepdim=True)
                features = features.detach().requires_grad_()
                logit = model.logits(cut(features, grid, cell))[0, TARGET]
                (gradient,) = torch.autograd.grad(logit, features)
                cam = (features * gradient.mean((2, 3), keepdim=True)).sum(1, keepdim=True)
                cam = torch.nn.functional.interpolate(cam, image.shape[2:], mode="bilinear", align_corners=False)
                for method, map in (("input_x_gradient", by_input), ("grad_cam", cam)):
                    cases[f"{setting}/{grid}/{cell}/{method}"] = {
                        "map": formula.rounded_map(map.detach().numpy()),
                        "logit": logit.item(),
                        "score": localisation(map.detach(), grid, cell),
                    }
    formula.write(
        __file__,
        {
            "versions": found,
            "tolerance": 2e-5,
            "cell": CELL,
            "target": TARGET,
            "tensors": tensors,
            "cases": cases,
        },
    )


main()
