"""Attribution methods on a photograph: torchvision's ResNet-18 and -50 against captum, zennit and pytorch-grad-cam, the
bcos package's ResNet-50 against its own contributions and coloured picture.

What is built and what is corrected in a peer is in peers/generate.py and bcos/generate.py, which this script calls: the
head is an MLP at every position there, B-cos running variances are calibrated, maps are stored as every STRIDE-th pixel
and the sum. Weights are the formula's; the photograph is a part of ../small_photographs/astronaut.jpg with ImageNet's
normalisation. It is no larger because float32 itself knows no better: along the path of IntegratedGradients some ReLU of
the whole photograph is at its kink but for rounding, and torch's float32 map is off by 1e-2.

Expected numbers are computed in float64. Tolerance 1e-4 of a map's largest magnitude, or what float32 torch itself is off
by (the stored gaps) where that is more. Whether rounding moves a ReLU on the path over its kink is chance, so the gap of
IntegratedGradients is also what the float64 map changes by when pixels are moved by DRAWS times noise of ROUNDING, the
size of float32's error in a deep layer.
"""

import importlib.util
import pathlib
import sys
import warnings

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import captum.attr as captum
import formula
import numpy as np
import torch
from PIL import Image


def case(name):
    """The generator of another case as a module."""
    spec = importlib.util.spec_from_file_location(name, HERE.parent / name / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


peers, bcos = case("peers"), case("bcos")
from bcos.models.resnet import resnet50 as bcos_resnet50
from bcos.modules import norms
from zennit import composites
from zennit.canonizers import CompositeCanonizer
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer

PHOTOGRAPH, STRIDE, TARGET = "astronaut", 41, 7
# Top, bottom, left, right.
CROP = [16, 80, 24, 120]
DRAWS, ROUNDING = 5, 2e-6


def pixels() -> np.ndarray:
    """`[1, 3, rows, columns]` in [0, 1]."""
    picture = np.asarray(Image.open(HERE.parent / "small_photographs" / f"{PHOTOGRAPH}.jpg"), np.float32)
    top, bottom, left, right = CROP
    return np.ascontiguousarray((picture[top:bottom, left:right] / np.float32(255)).transpose(2, 0, 1)[None])


def integrated(model, image):
    settings = dict(target=TARGET, n_steps=peers.STEPS, method="gausslegendre")
    return captum.IntegratedGradients(model).attribute(image.clone().requires_grad_(), torch.zeros_like(image), **settings)


def maps(build, image) -> dict:
    model, target = build(), TARGET
    x = lambda: image.clone().requires_grad_()
    found = {
        "input_x_gradient": captum.InputXGradient(model).attribute(x(), target=target),
        "guided_backprop": captum.GuidedBackprop(model).attribute(x(), target=target),
    }
    found["integrated_gradients"] = integrated(model, image)
    found |= peers.cam_maps(model, image, target, found["guided_backprop"], small=False)
    # Grad-CAM is negative everywhere on one of the two networks, which leaves nothing of it.
    del found["guided_grad_cam"]
    sums = CompositeCanonizer((peers.Merge(), ResNetBasicBlockCanonizer(), ResNetBottleneckCanonizer()))
    low, high = peers.bounds(image)
    one = torch.eye(peers.CLASSES, dtype=image.dtype)[[target]]
    for name, network, composite in (
        ("lrp", peers.convolutional_head(build()), composites.EpsilonGammaBox(low=low, high=high, canonizers=[sums])),
        ("lrp_epsilon_plus", build(), composites.EpsilonPlus(canonizers=[sums])),
        ("lrp_epsilon_alpha2_beta1:flat", build(), composites.EpsilonAlpha2Beta1Flat(canonizers=[sums])),
    ):
        found[name] = peers.relevance(network, image, composite, lambda out: out * one)
    return {"logits": model(image)} | {f"{name}/{target}": value.detach().sum(1) for name, value in found.items()}


def sensitivity(build, image, expected) -> float:
    """How far IntegratedGradients' map moves, in units of its largest value, when pixels move by what rounding does."""
    noise = np.random.default_rng(0)
    moved = []
    for _ in range(DRAWS):
        pixels = image + ROUNDING * torch.from_numpy(noise.standard_normal(image.shape))
        moved.append(integrated(build(), pixels).detach().sum(1))
    return max(float((value - expected).abs().max() / expected.abs().max()) for value in moved)


def conventional(block, blocks) -> dict:
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (peers.MEAN, peers.STD))
    image = torch.from_numpy((pixels() - mean) / std)
    tensors = formula.fill(peers.Probed(block, blocks))

    def build(dtype):
        model = peers.Probed(block, blocks)
        formula.fill(model)
        return model.to(dtype)

    single = maps(lambda: build(torch.float32), image)
    double = maps(lambda: build(torch.float64), image.double())
    gaps = {k: float(f"{float((single[k] - v).abs().max() / v.abs().max()):.1e}") for k, v in double.items()}
    name = f"integrated_gradients/{TARGET}"
    moved = sensitivity(lambda: build(torch.float64), image.double(), double[name])
    gaps[name] = max(gaps[name], float(f"{moved:.1e}"))
    print("float32 gaps", gaps)
    logits = double.pop("logits")
    return {
        "blocks": blocks,
        "targets": [TARGET],
        "float32_gaps": gaps,
        "tensors": tensors,
        "logits": formula.numbers(logits),
        "maps": {name: peers.stored(value) for name, value in double.items()},
    }


def aligned() -> dict:
    model = bcos_resnet50(num_classes=10, norm_layer=norms.NoBias(norms.BatchNormUncentered2d))
    tensors = formula.fill(model)
    image = torch.from_numpy(np.concatenate([pixels(), 1 - pixels()], axis=1))
    factors = bcos.calibrate(model, image)
    bcos.TARGETS = [TARGET]
    single = {"logits": model(image)} | bcos.maps(model, image)
    model, image = model.double(), image.double()
    double = {"logits": model(image)} | bcos.maps(model, image)
    gaps = {k: float(f"{float((single[k] - v).abs().max() / v.abs().max()):.1e}") for k, v in double.items()}
    print("float32 gaps", gaps)
    logits = double.pop("logits")
    return {
        "offset": model.logit_layer.logit_bias,
        "targets": [TARGET],
        "float32_gaps": gaps,
        "tensors": tensors,
        "variance_factors": factors,
        "logits": formula.numbers(logits),
        "maps": {name: peers.stored(value) for name, value in double.items()},
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    found = formula.versions("torch", "torchvision", "captum", "zennit", "grad-cam", "bcos", "pillow", "numpy")
    peers.SHAPE, peers.STRIDE = list(pixels().shape), STRIDE
    formula.write(
        __file__,
        {
            "versions": found,
            "tolerance": 1e-4,
            "photograph": PHOTOGRAPH,
            "crop": CROP,
            "stride": STRIDE,
            "mean": peers.MEAN,
            "std": peers.STD,
            "resnet18": conventional(peers.Basic, [2, 2, 2, 2]),
            "resnet50": conventional(peers.Bottleneck, [3, 4, 6, 3]),
            "bcos_resnet50": aligned(),
        },
    )


if __name__ == "__main__":
    main()
