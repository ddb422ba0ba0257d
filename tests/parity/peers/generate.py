"""Attribution methods on a small residual network and on ResNet-50 against captum, zennit, pytorch-grad-cam and lime.

The head is an MLP at every position (1x1, ReLU, 1x1) with the pool last, so that class activation maps differ from each
other. A map is stored as every STRIDE-th pixel and its sum. What was corrected in a peer, and why:

- zennit: the merge of BatchNorm, see attribution/generate.py. Heads are dense layers for its composites, except for
  EpsilonGammaBox, where both sides take them as convolutions. w-square and z-box in the first layer are built from its
  rules, as its own composites with `flat` are.
- captum: NoiseTunnel gets our draws; GuidedGradCam enlarges Grad-CAM by nearest neighbours, here its two factors are
  multiplied after bilinear enlargement. DeepLift keeps one of several overlapping windows of a maximum (max_unpool), so
  both sides have a 2x2 pool with stride 2 there. Its hooks on a tensor that one module gives and the next takes fire in
  the wrong order, which loses the maximum's rule behind a ReLU: a copy stands between them here. Blocks have a module
  for each ReLU, which DeepLift insists on.
- pytorch-grad-cam: read before it subtracts the smallest value and divides by the largest, which loses the sign. Its
  Grad-CAM++ adds 1e-6 to a denominator of the order of the squared gradient, which makes the map depend on the scale of
  the logit: 0 here. Its Score-CAM enlarges with aligned corners: half-pixel centres here. Its Ablation-CAM divides by the
  logit: multiplied back.
- lime: LimeBase gets our draws of segments. KernelSHAP: with two segments captum's exact ShapleyValues; with six the
  constrained regression on our draws, solved here as a KKT system.

Expected numbers are computed in float64; pytorch-grad-cam keeps scores in float32. Tolerance 1e-4 of a map's largest
magnitude, or what float32 torch itself is off by (the stored gaps) where that is more: on ResNet-50 the noise of
SmoothGrad brings a ReLU to its kink, and the epsilon rule divides by sums that almost cancel.
"""

import inspect
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import captum.attr as captum
import formula
import numpy as np
import pytorch_grad_cam as pgc
import streams
import torch
from lime.lime_base import LimeBase
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from sklearn.metrics import pairwise_distances
from torchvision.models import resnet
from zennit import composites, rules
from zennit.attribution import Gradient
from zennit.canonizers import CompositeCanonizer, SequentialMergeBatchNorm
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Convolution, Linear

SHAPE = [1, 3, 64, 96]
STRIDE = 41
MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]
SEED, KEY = 5, "image"
CLASSES, HIDDEN = 10, 24
# Of the Rust side's settings.
STEPS, SAMPLES, NOISE, WINDOW, MOVE = 8, 3, 0.15, 32, 16
LIME_SAMPLES, SHAP_SAMPLES, SEGMENTS = 40, 24, 6


class Basic(resnet.BasicBlock):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.relu1, self.relu2 = torch.nn.ReLU(), torch.nn.ReLU()

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(resnet.Bottleneck):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.relu1, self.relu2, self.relu3 = torch.nn.ReLU(), torch.nn.ReLU(), torch.nn.ReLU()

    def forward(self, x):
        y = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))))
        return self.relu3(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class Copy(torch.nn.Module):
    def forward(self, x):
        return x.clone()


class Pointwise(torch.nn.Linear):
    """A dense layer at every position, which zennit takes for what it is."""

    def forward(self, x):
        return super().forward(x.movedim(1, 3)).movedim(3, 1)


class Probed(torch.nn.Module):
    """Backbone, two layers at every position, mean over positions."""

    def __init__(self, block, blocks):
        super().__init__()
        trunk = resnet.ResNet(block, blocks)
        for name, module in list(trunk.named_children())[:-2]:
            self.add_module(name, module)
        self.head0 = Pointwise(512 * block.expansion, HIDDEN)
        self.head_relu = torch.nn.ReLU()
        self.head1 = Pointwise(HIDDEN, CLASSES)
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, torch.nn.ReLU):
                module.inplace = False

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x.flatten(1)


class Merge(SequentialMergeBatchNorm):
    """As in attribution/generate.py: the emptied BatchNorm does not keep its epsilon."""

    def register(self, linears, batch_norm):
        super().register(linears, batch_norm)
        self.eps, batch_norm.eps = batch_norm.eps, 0.0

    def remove(self):
        super().remove()
        self.batch_norm.eps = self.eps


def corrected(cls, method, wrong, right):
    """The peer's class with one piece of one method's source replaced."""
    source = inspect.cleandoc("\n" + inspect.getsource(getattr(cls, method)))
    assert source.count(wrong) == 1, (cls, wrong)
    space = dict(vars(sys.modules[cls.__module__]))
    exec(source.replace(wrong, right), space)
    return type(cls.__name__, (cls,), {method: space[method]})


PlusPlus = corrected(pgc.GradCAMPlusPlus, "get_cam_weights", "eps = 0.000001", "eps = 0.0")
ScoreCam = corrected(
    pgc.ScoreCAM,
    "get_cam_weights",
    "torch.nn.UpsamplingBilinear2d(\n            size=input_tensor.shape[-2:])",
    "torch.nn.Upsample(size=input_tensor.shape[-2:], mode='bilinear', align_corners=False)",
)


def convolutional_head(model):
    """The same network with its head as convolutions."""
    for name in ("head0", "head1"):
        dense = getattr(model, name)
        conv = torch.nn.Conv2d(dense.in_features, dense.out_features, 1).to(dense.weight.dtype)
        conv.weight.data, conv.bias.data = dense.weight.data[:, :, None, None], dense.bias.data
        setattr(model, name, conv.requires_grad_(False))
    return model


def bounds(image):
    bound = lambda value: torch.tensor([(value - m) / s for m, s in zip(MEAN, STD)], dtype=image.dtype)
    return tuple(bound(value).view(1, 3, 1, 1).expand_as(image) for value in (0.0, 1.0))


def enlarged(coarse):
    return captum.LayerAttribution.interpolate(coarse, tuple(SHAPE[2:]), interpolate_mode="bilinear")


def relevance(model, image, composite, start):
    with Gradient(model=model, composite=composite) as attributor:
        return attributor(image.clone(), start)[1]


def zennit_maps(build, image, target):
    """All composites; a fresh network for each, because zennit changes what it is given."""
    low, high = bounds(image)
    one = torch.eye(CLASSES, dtype=image.dtype)[[target]]
    logit = lambda out: out * one
    sums = CompositeCanonizer((Merge(), ResNetBasicBlockCanonizer(), ResNetBottleneckCanonizer()))
    box = lambda canonizer: composites.EpsilonGammaBox(low=low, high=high, canonizers=[canonizer])
    convolutional = lambda: convolutional_head(build())
    found = {
        "lrp": relevance(convolutional(), image, box(sums), logit),
        "lrp:reference": relevance(convolutional(), image, box(Merge()), logit),
        "excitation_backprop": relevance(
            build(), image, composites.ExcitationBackprop(canonizers=[sums]), lambda out: one.expand_as(out)
        ),
    }
    everywhere = [((Convolution, torch.nn.Linear), rules.Epsilon(epsilon=1e-6))]
    epsilon = composites.LayerMapComposite(composites.layer_map_base() + everywhere, canonizers=[sums])
    found["lrp_epsilon"] = relevance(build(), image, epsilon, logit)
    dense = (torch.nn.Linear, rules.Epsilon(epsilon=1e-6))
    for name, rule, whole, flat in (
        ("lrp_epsilon_plus", rules.ZPlus, composites.EpsilonPlus, composites.EpsilonPlusFlat),
        (
            "lrp_epsilon_alpha2_beta1",
            lambda: rules.AlphaBeta(alpha=2, beta=1),
            composites.EpsilonAlpha2Beta1,
            composites.EpsilonAlpha2Beta1Flat,
        ),
    ):
        found[name] = relevance(build(), image, whole(canonizers=[sums]), logit)
        found[f"{name}:flat"] = relevance(build(), image, flat(canonizers=[sums]), logit)
        for variant, first in (("w_square", rules.WSquare()), ("z_box", rules.ZBox(low=low, high=high))):
            layers = composites.layer_map_base() + [(Convolution, rule()), dense]
            composite = composites.SpecialFirstLayerMapComposite(layers, [(Linear, first)], canonizers=[sums])
            found[f"{name}:{variant}"] = relevance(build(), image, composite, logit)
    return found


def normal(stream) -> float:
    """`features::random::normal`."""
    radius = np.sqrt(-2.0 * np.log(1.0 - stream.uniform()))
    return float(radius * np.cos(2 * np.pi * stream.uniform()))


def noise(image):
    """The draws of `smooth_grad`, rounded to float32 as there."""
    pixels = image.float().numpy()
    deviation = float(np.float32(NOISE) * (pixels.max() - pixels.min()))
    draws = []
    for draw in range(SAMPLES):
        stream = streams.Stream(SEED, ["attribute", "smooth_grad", KEY, str(draw)])
        draws.append(np.array([deviation * normal(stream) for _ in range(pixels.size)], dtype=np.float32))
    return torch.from_numpy(np.stack(draws).reshape(SAMPLES, *SHAPE[1:]))


def pixel_maps(model, image, target, drawn):
    x = lambda: image.clone().requires_grad_()
    found = {
        "gradient": captum.Saliency(model).attribute(x(), target=target, abs=False),
        "input_x_gradient": captum.InputXGradient(model).attribute(x(), target=target),
        "guided_backprop": captum.GuidedBackprop(model).attribute(x(), target=target),
        "deconvnet": captum.Deconvolution(model).attribute(x(), target=target),
    }
    found["guided_backprop:times_input"] = found["guided_backprop"] * image
    integrated = captum.IntegratedGradients(model)
    paths = {
        "integrated_gradients": ("gausslegendre", torch.zeros_like(image)),
        "integrated_gradients@black": ("riemann_middle", bounds(image)[0]),
        "integrated_gradients@mean": ("gausslegendre", image.mean((2, 3), keepdim=True).expand_as(image)),
    }
    for name, (method, start) in paths.items():
        found[name] = integrated.attribute(x(), start, target=target, n_steps=STEPS, method=method)
    torch_normal, torch.normal = torch.normal, lambda _mean, _deviation: drawn.to(image.dtype)
    tunnel = captum.NoiseTunnel(captum.Saliency(model))
    found["smooth_grad"] = tunnel.attribute(x(), nt_samples=SAMPLES, nt_type="smoothgrad", target=target, abs=False)
    torch.normal = torch_normal
    return found


def deep_lift_maps(model, image, target):
    original, model.maxpool = model.maxpool, torch.nn.Sequential(Copy(), torch.nn.MaxPool2d(2, 2))
    starts = {"": torch.zeros_like(image), "@black": bounds(image)[0]}
    starts["@mean"] = image.mean((2, 3), keepdim=True).expand_as(image)
    found = {}
    for name, start in starts.items():
        found["deep_lift" + name] = captum.DeepLift(model).attribute(image.clone(), start.clone(), target=target)
    model.maxpool = original
    return found


def cam_maps(model, image, target, guided, small):
    grad_cam = lambda layer: enlarged(captum.LayerGradCam(model, layer).attribute(image, target=target))
    block = model.layer4[-1]
    found = {
        "grad_cam": grad_cam(model.layer4),
        "grad_cam:reference": grad_cam(block.conv3 if hasattr(block, "conv3") else block.conv2),
    }
    found["guided_grad_cam"] = guided * found["grad_cam"].clamp(min=0)
    peers = {
        "grad_cam_plus_plus": PlusPlus,
        "layer_cam": pgc.LayerCAM,
        "xgrad_cam": pgc.XGradCAM,
        "hires_cam": pgc.HiResCAM,
    }
    if small:
        peers |= {"score_cam": ScoreCam, "ablation_cam": pgc.AblationCAM}
    for name, peer in peers.items():
        cam = peer(model, [model.layer4])
        kept = {}
        raw = cam.get_cam_image
        cam.get_cam_image = lambda *args, **kwargs: kept.setdefault("map", raw(*args, **kwargs))
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        cam(input_tensor=image, targets=[ClassifierOutputTarget(target)])
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        cam.activations_and_grads.release()
        coarse = torch.as_tensor(np.maximum(kept["map"], 0) if name == "layer_cam" else kept["map"])[:, None]
        if name == "ablation_cam":
            coarse = coarse * model(image)[0, target].item()
        found[name] = enlarged(coarse.to(image.dtype))
    return found


def grid(count):
    """`Segments::grid`."""
    rows, columns = SHAPE[2:]
    across = round(np.sqrt(count * columns / rows))
    down = round(count / across)
    row, column = np.mgrid[:rows, :columns]
    return torch.from_numpy(row * down // rows * across + column * across // columns), down * across


def segment_means(image, labels, count):
    means = torch.zeros_like(image)
    for label in range(count):
        inside = labels == label
        means[:, :, inside] = image[:, :, inside].mean(2, keepdim=True)
    return means


def coalition(count, draw):
    """`kernel_shap::sample`."""
    if draw == 0:
        return np.zeros(count)
    stream = streams.Stream(SEED, ["attribute", "kernel_shap", KEY, str((draw - 1) // 2)])
    weights = [1 / (size * (count - size)) for size in range(1, count)]
    left = stream.uniform() * sum(weights)
    size = count - 1
    for candidate, weight in enumerate(weights, 1):
        left -= weight
        if left <= 0:
            size = candidate
            break
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = stream.below(last + 1)
        order[last], order[other] = order[other], order[last]
    kept = np.zeros(count)
    kept[order[:size]] = 1
    return 1 - kept if draw % 2 == 0 else kept


def masked_maps(model, image, target):
    found = {}
    mean = image.mean((2, 3), keepdim=True).expand_as(image)
    window = dict(sliding_window_shapes=(3, WINDOW, WINDOW), strides=(3, MOVE, MOVE))
    # Captum repeats a pixel's value over the channels, which are summed below.
    found["occlusion"] = captum.Occlusion(model).attribute(image, baselines=mean, target=target, **window) / 3
    labels, count = grid(SEGMENTS)
    means = segment_means(image, labels, count)

    def answers(samples):
        masks = torch.from_numpy(samples).to(image.dtype)[:, labels][:, None]
        return model(means + masks * (image - means)).double().numpy()

    spread = lambda values: torch.from_numpy(np.asarray(values))[labels].to(image.dtype)[None, None]
    samples = [np.ones(count)]
    for draw in range(1, LIME_SAMPLES):
        stream = streams.Stream(SEED, ["attribute", "lime", KEY, str(draw)])
        samples.append(np.array([1.0 if stream.uniform() < 0.5 else 0.0 for _ in range(count)]))
    samples = np.stack(samples)
    logits = answers(samples)
    raised = np.exp(logits - logits.max(1, keepdims=True))
    distances = pairwise_distances(samples, samples[:1], metric="cosine").ravel()
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)))
    for name, labelled in (
        ("lime", logits),
        ("lime:softmax", raised / raised.sum(1, keepdims=True)),
        ("lime:sigmoid", 1 / (1 + np.exp(-logits))),
    ):
        explained = base.explain_instance_with_data(samples, labelled, distances, target, count, "none")[1]
        found[name] = spread([value for _, value in sorted(explained)])

    samples = np.stack([coalition(count, draw) for draw in range(SHAP_SAMPLES + 1)])
    logits = answers(samples)[:, target]
    none, whole = logits[0], float(model(image)[0, target])
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = samples[1:].T @ samples[1:]
    system[:count, count] = system[count, :count] = 1
    right = np.append(samples[1:].T @ (logits[1:] - none), whole - none)
    found["kernel_shap"] = spread(np.linalg.solve(system, right)[:count] / (labels.numel() / count))

    labels, count = grid(2)
    exact = captum.ShapleyValues(model).attribute(
        image, baselines=segment_means(image, labels, count), target=target, feature_mask=labels[None, None]
    )
    found["kernel_shap@two_segments"] = exact[:, :1] / (labels.numel() / count)
    return found


def maps(build, image, targets, drawn, small):
    model, found = build(), {}
    for target in targets:
        of_target = pixel_maps(model, image, target, drawn)
        of_target |= cam_maps(model, image, target, of_target["guided_backprop"], small)
        of_target |= deep_lift_maps(model, image, target)
        of_target |= zennit_maps(build, image, target)
        if small:
            of_target |= masked_maps(model, image, target)
        found |= {f"{name}/{target}": value.detach().sum(1) for name, value in of_target.items()}
    return {"logits": model(image)} | found


def stored(value) -> dict:
    value = value.double().numpy().reshape(-1)
    largest = float(np.abs(value).max())
    assert largest > 0, "a map of zeros compares nothing"
    samples = [int(round(x)) for x in value[::STRIDE] / largest * 1e6]
    return {"largest": largest, "sum": float(value.sum()), "magnitude": float(np.abs(value).sum()), "millionths": samples}


def case(block, blocks, image, targets, drawn, small):
    tensors = formula.fill(Probed(block, blocks))

    def build(dtype):
        model = Probed(block, blocks)
        formula.fill(model)
        return model.to(dtype)

    single = maps(lambda: build(torch.float32), image, targets, drawn, small)
    double = maps(lambda: build(torch.float64), image.double(), targets, drawn, small)
    gaps = {k: float(f"{float((single[k] - v).abs().max() / v.abs().max()):.1e}") for k, v in double.items()}
    print("float32 gaps", gaps)
    logits = double.pop("logits")
    return {
        "blocks": blocks,
        "targets": targets,
        "float32_gaps": gaps,
        "tensors": tensors,
        "logits": formula.numbers(logits),
        "maps": {name: stored(value) for name, value in double.items()},
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    found = formula.versions("torch", "torchvision", "captum", "zennit", "grad-cam", "lime", "scikit-learn", "numpy")
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    image = torch.from_numpy((formula.image(SHAPE) - mean) / std)
    drawn = noise(image)
    formula.write(
        __file__,
        {
            "versions": found,
            "tolerance": 1e-4,
            "image": SHAPE,
            "stride": STRIDE,
            "mean": MEAN,
            "std": STD,
            "small": case(Basic, [1, 1, 1, 1], image, [5, 7], drawn, small=True),
            "resnet50": case(Bottleneck, [3, 4, 6, 3], image, [7], drawn, small=False),
        },
    )


if __name__ == "__main__":
    main()
