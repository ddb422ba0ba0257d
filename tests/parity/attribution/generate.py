"""Attribution maps on torchvision's ResNet-18 with a per-position linear head and the pool last.

captum: InputXGradient, IntegratedGradients (50 Gauss-Legendre steps, zero baseline), GuidedBackprop and LayerGradCam
(signed, bilinear to the image). zennit: EpsilonGammaBox with its defaults; with its canonizer for torchvision's blocks
sums share relevance in proportion (our `lrp`); with the BatchNorm merge alone both branches get all of it (our
`lrp:reference`). Relevance starts as the logit at the target. The merge is corrected by one line, see Merge: over 20
layers its epsilon would add up to 1e-4.

Expected numbers are computed in float64. Tolerances are relative to a map's largest magnitude. float32 torch itself is
off by the printed gaps, about 1e-6: 2e-5 leaves room for another order of summation.
"""

import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import torch
import torchvision
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients, LayerAttribution, LayerGradCam
from zennit.attribution import Gradient
from zennit.canonizers import CompositeCanonizer, SequentialMergeBatchNorm
from zennit.composites import EpsilonGammaBox
from zennit.torchvision import ResNetBasicBlockCanonizer

SHAPE = [1, 3, 40, 40]
TARGETS = [1, 7]
MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]


class Probed(torch.nn.Module):
    """Backbone, 1x1 convolution at every position, mean over positions."""

    def __init__(self):
        super().__init__()
        trunk = torchvision.models.resnet18(weights=None)
        for name, module in list(trunk.named_children())[:-2]:
            self.add_module(name, module)
        self.head = torch.nn.Conv2d(512, 10, 1)
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, torch.nn.ReLU):
                module.inplace = False

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x.flatten(1)


class Merge(SequentialMergeBatchNorm):
    """zennit's merge leaves the emptied BatchNorm its epsilon, so each one still divides by sqrt(1 + 1e-5)."""

    def register(self, linears, batch_norm):
        super().register(linears, batch_norm)
        self.eps, batch_norm.eps = batch_norm.eps, 0.0

    def remove(self):
        super().remove()
        self.batch_norm.eps = self.eps


class Guided(torch.autograd.Function):
    """An independent guided ReLU, to check that captum copes with ReLU modules that are used twice."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad.clamp(min=0) * (x > 0)


def guided_by_hand(model, image, target):
    original = torch.nn.ReLU.forward
    torch.nn.ReLU.forward = lambda _self, x: Guided.apply(x)
    x = image.clone().requires_grad_()
    grad = torch.autograd.grad(model(x)[:, target].sum(), x)[0]
    torch.nn.ReLU.forward = original
    return grad


def lrp(model, image, target, canonizer):
    dtype = image.dtype
    bound = lambda value: torch.tensor([(value - m) / s for m, s in zip(MEAN, STD)], dtype=dtype).view(1, 3, 1, 1)
    low, high = bound(0).expand_as(image), bound(1).expand_as(image)
    composite = EpsilonGammaBox(low=low, high=high, canonizers=[canonizer])
    with Gradient(model=model, composite=composite) as attributor:
        _, relevance = attributor(image.clone(), lambda out: out * torch.eye(10, dtype=dtype)[[target]])
    return relevance


def maps(model, image):
    found = {}
    for target in TARGETS:
        keep = lambda name, value: found.__setitem__(f"{name}/{target}", value.detach().sum(1))
        x = lambda: image.clone().requires_grad_()
        keep("input_x_gradient", InputXGradient(model).attribute(x(), target=target))
        keep("integrated_gradients", IntegratedGradients(model).attribute(x(), target=target))
        guided = GuidedBackprop(model).attribute(x(), target=target)
        by_hand = guided_by_hand(model, image, target)
        assert torch.allclose(guided, by_hand, rtol=1e-3, atol=1e-5 * by_hand.abs().max()), "captum is not guided"
        keep("guided_backprop", guided)
        coarse = LayerGradCam(model, model.layer4).attribute(x(), target=target)
        keep("grad_cam", LayerAttribution.interpolate(coarse, tuple(SHAPE[2:]), interpolate_mode="bilinear"))
        keep("lrp", lrp(model, image, target, CompositeCanonizer((Merge(), ResNetBasicBlockCanonizer()))))
        keep("lrp:reference", lrp(model, image, target, Merge()))
    return found


def main() -> None:
    warnings.filterwarnings("ignore")
    found = formula.versions("torch", "torchvision", "captum", "zennit", "numpy")
    model = Probed()
    tensors = formula.fill(model)
    pixels = formula.image(SHAPE)
    mean, std = (formula.np.array(v, formula.np.float32).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    image = torch.from_numpy((pixels - mean) / std)

    single = {"logits": model(image)} | maps(model, image)
    model, image = model.double(), image.double()
    double = {"logits": model(image)} | maps(model, image)
    gaps = {k: float((single[k] - v).abs().max() / v.abs().max()) for k, v in double.items()}
    print("float32 gaps", gaps)
    logits = double.pop("logits")
    formula.write(
        __file__,
        {
            "versions": found,
            "float32_gaps": gaps,
            "tolerance": 2e-5,
            "image": SHAPE,
            "mean": MEAN,
            "std": STD,
            "tensors": tensors,
            "logits": formula.numbers(logits),
            "maps": {name: formula.rounded_map(value) for name, value in double.items()},
        },
    )


if __name__ == "__main__":
    main()
