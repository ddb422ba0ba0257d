"""From JPEG photographs to the last features and logits of networks at full size, each against its own package.

Photographs (made here from scikit-image's, see README.md) are decoded by Pillow, resized and cropped by torchvision,
and run in float64 through networks with the formula's weights:
    resnet18            torchvision
    resnet50            timm, and torchvision must agree
    densenet121         torchvision, and timm must agree
    clip                open_clip's RN50: layer4, and behind it the attention pool
    bcos_resnet50       bcos, with the bias-free uncentred norms of its published weights
    bcos_densenet121    bcos, likewise

Running variances are the formula's times what each norm really sees, rounded and stored, so that activations keep
their size at any depth; the last norm of a B-cos bottleneck has 16 times that, so that a block adds a quarter to its
shortcut, because random B-cos layers one behind the other make float32's errors grow. Stored are the norm of each picture's features and every 7919th of them (wrapping round), and
all logits, those of B-cos networks less their offset, which would hide them. Tolerance 1e-5 of the largest magnitude: float32 torch itself is off by the printed gaps, while one pixel
that differs by one level, or a pool that counts its border otherwise, moves features by more than 1e-4.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import bcos.models.densenet
import bcos.models.resnet
import formula
import skimage.data
import timm
import torch
import torchvision
from bcos.data.transforms import AddInverse
from bcos.modules import norms
from open_clip.modified_resnet import ModifiedResNet
from PIL import Image
from torchvision import transforms

# Name, longer side, options of Pillow's encoder: down and up to the short side of 256, both chroma forms, progressive.
PHOTOGRAPHS = [
    ("astronaut", 320, {"quality": 90}),
    ("chelsea", 400, {"quality": 90, "progressive": True}),
    ("coffee", 320, {"quality": 90, "subsampling": 0}),
]
CLASSES = 10
SAMPLES = 120
STEP = 7919
BNU = norms.NoBias(norms.BatchNormUncentered2d)

to_tensor = transforms.ToTensor()
IMAGENET = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        to_tensor,
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
SIX = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), to_tensor, AddInverse()])
CLIP = transforms.Compose(
    [
        transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
        to_tensor,
        transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ]
)


class Clip(torch.nn.Module):
    """RN50 under the names of a CLIP checkpoint."""

    def __init__(self):
        super().__init__()
        self.visual = ModifiedResNet(layers=(3, 4, 6, 3), output_dim=1024, heads=32, image_size=224, width=64)

    def forward(self, x):
        return self.visual(x)


def photographs() -> None:
    for name, side, options in PHOTOGRAPHS:
        image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.save(HERE / f"{name}.jpg", **options)


def batch(transform) -> torch.Tensor:
    return torch.stack([transform(Image.open(HERE / f"{name}.jpg").convert("RGB")) for name, *_ in PHOTOGRAPHS])


def bcos_block(module, name: str) -> bool:
    return name.endswith(".bn3") and isinstance(module, norms.BatchNormUncentered2d)


def calibrate(model, images) -> dict:
    """Multiplies each running_var by the variance of the norm's input, layer by layer."""
    factors = {}

    def before(name, module, inputs):
        less = 16 if bcos_block(module, name) else 1
        seen = float(f"{inputs[0].var(unbiased=False).item() * less:.2g}")
        factors[f"{name}.running_var"] = seen
        module.running_var.mul_(torch.tensor(seen, dtype=torch.float32))

    hooks = [
        m.register_forward_pre_hook(lambda mod, inp, name=name: before(name, mod, inp))
        for name, m in model.named_modules()
        if hasattr(m, "running_var")
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return factors


def nested(listed) -> dict:
    """Shapes by the parts of their names, which says most of each name once."""
    tree = {}
    for name, shape in listed:
        *parts, last = name.split(".")
        at = tree
        for part in parts:
            at = at.setdefault(part, {})
        at[last] = shape
    return tree


def run(model, images, features):
    """Features and logits in the model's precision."""
    kept = []
    hook = features(model).register_forward_hook(lambda _m, _i, out: kept.append(out))
    logits = model(images)
    hook.remove()
    return kept[0], logits


def stored(values) -> dict:
    rows = values.flatten(1)
    index = torch.arange(SAMPLES) * STEP % rows.shape[1]
    return {
        "shape": list(values.shape[1:]),
        "norms": formula.numbers(rows.norm(dim=1)),
        "samples": [formula.numbers(row[index]) for row in rows],
    }


def gap(one, other) -> float:
    return float((one - other).abs().max() / other.abs().max())


def same(x):
    return x


def networks() -> dict:
    """Model, transform, module of the features, what follows it before they are read."""
    relu = torch.nn.functional.relu
    models = torchvision.models
    return {
        "resnet18": (models.resnet18(num_classes=CLASSES), IMAGENET, lambda m: m.layer4, same),
        "resnet50": (timm.create_model("resnet50", num_classes=CLASSES), IMAGENET, lambda m: m.layer4, same),
        # torchvision's ReLU behind norm5 is in `forward`.
        "densenet121": (models.densenet121(num_classes=CLASSES), IMAGENET, lambda m: m.features, relu),
        "clip": (Clip(), CLIP, lambda m: m.visual.layer4, same),
        "bcos_resnet50": (bcos.models.resnet.resnet50(num_classes=CLASSES, norm_layer=BNU), SIX, lambda m: m.layer4, same),
        "bcos_densenet121": (
            bcos.models.densenet.densenet121(num_classes=CLASSES, norm_layer=BNU),
            SIX,
            lambda m: m.features,
            same,
        ),
    }


def main() -> None:
    torch.set_grad_enabled(False)
    found = formula.versions("torch", "torchvision", "timm", "open_clip_torch", "bcos", "pillow", "scikit-image", "numpy")
    photographs()
    models = torchvision.models
    peers = {
        "resnet50": (models.resnet50(num_classes=CLASSES), lambda m: m.layer4, same),
        # timm's norm5 has its ReLU inside.
        "densenet121": (timm.create_model("densenet121", num_classes=CLASSES), lambda m: m.features, same),
    }
    cases = {}
    for name, (model, transform, features, after) in networks().items():
        tensors = formula.fill(model)
        images = batch(transform)
        factors = calibrate(model, images)
        state = {k: v.clone() for k, v in model.state_dict().items()}
        single = run(model, images, features)
        maps, logits = run(model.double(), images.double(), features)
        maps = after(maps)
        gaps = {"features": gap(after(single[0]), maps), "logits": gap(single[1], logits)}
        print(name, tuple(maps.shape), gaps, "share of zeros", float((maps == 0).double().mean()))
        if name in peers:
            peer, features, after = peers[name]
            peer.load_state_dict(state)
            peer = peer.eval().double()
            others, other_logits = run(peer, images.double(), features)
            assert gap(after(others), maps) < 1e-12 and gap(other_logits, logits) < 1e-12, name
        case = {"float32_gap": gaps, "tensors": nested(tensors), "variance_factors": factors}
        offset = model.logit_layer.logit_bias if hasattr(model, "logit_layer") else 0.0
        case |= {"features": stored(maps), "logits": [formula.numbers(row - offset) for row in logits]}
        cases[name] = case
    formula.write(__file__, {"versions": found, "tolerance": 1e-5, "step": STEP, "cases": cases})


if __name__ == "__main__":
    main()
