"""The bcos package's ResNet-18 with the bias-free uncentred BatchNorm: logits, explanation map, plain gradient map, and
the coloured picture (`gradient_to_image`).

Random B-cos rows barely align with anything, so activations would shrink by about 1/sqrt(fan_in) a layer until only
the norm's epsilon is left to compare. Each running variance is therefore the formula's value times the variance that
the layer really sees; those factors are rounded and stored.

Expected numbers are computed in float64. Tolerance 5e-5 of the largest magnitude: float32 torch itself is off by the
printed gap, about ten times less.

Pictures are stored in 1e-5 of full colour: of drawn weights whole, and of the network's weights for its first image and
target every STRIDE-th number. There a value may jump where a contribution or a pair of weights is 0 but for rounding, so
all but 1 in 500 must agree.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import torch
from bcos.common import gradient_to_image
from bcos.models.resnet import resnet18
from bcos.modules import norms

SHAPE = [2, 6, 40, 40]
TARGETS = [1, 7]
PICTURE, STRIDE = [6, 30, 44], 3


def calibrate(model, image) -> dict:
    """Multiplies each running_var by the variance of the norm's input, layer by layer."""
    factors = {}

    def before(name, module, inputs):
        seen = float(f"{inputs[0].var(unbiased=False).item():.2g}")
        factors[f"{name}.running_var"] = seen
        module.running_var.mul_(torch.tensor(seen, dtype=torch.float32))

    hooks = [
        m.register_forward_pre_hook(lambda mod, inp, name=name: before(name, mod, inp))
        for name, m in model.named_modules()
        if hasattr(m, "running_var")
    ]
    model(image)
    for hook in hooks:
        hook.remove()
    return factors


def maps(model, image):
    """Contribution maps x * dlogit/dx summed over channels: [target][explained or plain] of [n, h, w]."""

    def contribution(target):
        x = image.clone().requires_grad_()
        logit = model(x)[:, target].sum()
        return (x * torch.autograd.grad(logit, x)[0]).sum(1).detach()

    found = {}
    for target in TARGETS:
        found[f"input_x_gradient/{target}"] = contribution(target)
        with model.explanation_mode():
            found[f"bcos/{target}"] = contribution(target)
    return found


def picture(image, weights) -> list:
    return [int(round(float(x) * 1e5)) for x in gradient_to_image(image, weights).reshape(-1)]


def pictures(model, image) -> dict:
    pixels, weights = (torch.from_numpy(formula.unit(name, PICTURE)) for name in ("picture.image", "picture.weights"))
    # Contributions of either sign, and of weights some small and some large.
    drawn = picture((0.5 + 0.5 * pixels), weights**3)
    x = image[:1].clone().requires_grad_()
    with model.explanation_mode():
        weights = torch.autograd.grad(model(x)[0, TARGETS[0]], x)[0][0]
    return {"size": PICTURE, "drawn": drawn, "stride": STRIDE, "network": picture(image[0], weights)[::STRIDE]}


def main() -> None:
    found = formula.versions("torch", "bcos", "numpy")
    model = resnet18(num_classes=10, norm_layer=norms.NoBias(norms.BatchNormUncentered2d))
    tensors = formula.fill(model)
    rgb = formula.image([SHAPE[0], 3, *SHAPE[2:]])
    image = torch.from_numpy(formula.np.concatenate([rgb, 1 - rgb], axis=1))
    factors = calibrate(model, image)

    single = {"logits": model(image)} | maps(model, image)
    model, image = model.double(), image.double()
    double = {"logits": model(image)} | maps(model, image)
    gap = max(float((single[k] - v).abs().max() / v.abs().max()) for k, v in double.items())
    print("float32 gap", gap)

    total = double["bcos/1"].sum((1, 2))
    print("completeness", total / (double["logits"][:, 1] - model.logit_layer.logit_bias))
    formula.write(
        __file__,
        {
            "versions": found,
            "float32_gap": gap,
            "tolerance": 5e-5,
            "image": SHAPE,
            "offset": model.logit_layer.logit_bias,
            "tensors": tensors,
            "variance_factors": factors,
            "logits": formula.numbers(double.pop("logits")),
            "maps": {name: formula.rounded_map(value) for name, value in double.items()},
            "pictures": pictures(model, image),
        },
    )


if __name__ == "__main__":
    main()
