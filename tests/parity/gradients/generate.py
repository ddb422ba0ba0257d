"""Input x gradient through DenseNet-121, B-cos DenseNet-121 (plain and in explanation mode) and CLIP's attention pool.

The networks and weights of ../photographs; the formula's image, or for the attention pool alone the same as its map.
Stored are the norm of x * d logit / d x and every 7919th value (wrapping round). Expected numbers are computed in
float64. Tolerance 5e-5 of the largest magnitude: float32 torch itself is off by the printed gaps, about ten times
less; a branch left out is off by more than 1e-1. The conventional network sees 32 x 32 pixels, where no ReLU's input
is so near to 0 (the printed margin, relative to the mean magnitude) that float32 may take it for the other sign.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent / "photographs"))
import formula
import torch
import generate as photographs

# Network, shape of its input, what is explained.
CASES = [
    ("densenet121", [1, 3, 32, 32], 3),
    ("bcos_densenet121", [1, 6, 96, 96], 3),
    ("clip", [1, 2048, 7, 7], 3),
]
SAMPLES = 150
STEP = 7919


def contribution(model, image, target):
    x = image.clone().requires_grad_()
    return (x * torch.autograd.grad(model(x)[:, target].sum(), x)[0]).detach().flatten()


def maps(model, image, target, name) -> dict:
    found = {name: contribution(model, image, target)}
    if hasattr(model, "explanation_mode"):
        with model.explanation_mode():
            found[f"{name} explained"] = contribution(model, image, target)
    return found


def margin(model, image) -> float:
    """How near to 0 the input of some ReLU comes."""
    seen = []
    hooks = [
        m.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].abs().min() / inputs[0].abs().mean()))
        for m in model.modules()
        if isinstance(m, torch.nn.ReLU)
    ]
    model(image)
    for hook in hooks:
        hook.remove()
    return float(min(seen, default=torch.inf))


def main() -> None:
    found = formula.versions("torch", "torchvision", "open_clip_torch", "bcos", "numpy")
    stored = json.loads((HERE.parent / "photographs" / "expected.json").read_text())["cases"]
    networks = photographs.networks()
    cases = {}
    for name, shape, target in CASES:
        model = networks[name][0]
        formula.fill(model)
        state = model.state_dict()
        for key, factor in stored[name]["variance_factors"].items():
            state[key].mul_(torch.tensor(factor, dtype=torch.float32))
        if name == "clip":
            model = model.visual.attnpool
        channels = shape[1] // 2 if name.startswith("bcos") else shape[1]
        rgb = formula.image([1, channels, *shape[2:]])
        image = torch.from_numpy(rgb if channels == shape[1] else formula.np.concatenate([rgb, 1 - rgb], axis=1))
        single = maps(model, image, target, name)
        for key, values in maps(model.double(), image.double(), target, name).items():
            gap = float((single[key] - values).abs().max() / values.abs().max())
            print(key, gap, "margin", margin(model, image.double()))
            index = torch.arange(SAMPLES) * STEP % len(values)
            cases[key] = {
                "float32_gap": gap,
                "shape": shape,
                "target": target,
                "norm": float(values.norm()),
                "samples": formula.numbers(values[index]),
            }
    formula.write(__file__, {"versions": found, "tolerance": 5e-5, "step": STEP, "cases": cases})


if __name__ == "__main__":
    main()
