"""IntegratedGradients on photographs against captum, on a network so small that rounding moves hardly a ReLU over its kink.

On ResNet-18 and -50 (../photograph_maps) float32 and float64 differ by up to 2.5e-3 where some ReLU on the path is at its
kink but for rounding, in torch as in ours, so a tolerance of 1e-4 cannot hold there and says nothing about the formula.
Here the network has one block a stage, as in peers/generate.py, and CROPS are all three places of each photograph of
../small_photographs that were looked at and lie within it, none left out. float32 torch is within 1e-6 of float64 on five of them. On the
sixth one ReLU is moved over its kink (8.8e-5), and the tolerance there is that of ../peers.rs, three times as much. With
32 instead of 8 points of the path more are: up to 1.4e-4.

Expected numbers are computed in float64. Tolerance 1e-4 of a map's largest magnitude.
"""

import importlib.util
import pathlib
import sys
import warnings

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import formula
import torch

spec = importlib.util.spec_from_file_location("photograph_maps", HERE.parent / "photograph_maps" / "generate.py")
photograph_maps = importlib.util.module_from_spec(spec)
spec.loader.exec_module(photograph_maps)
peers = photograph_maps.peers

BLOCKS = [1, 1, 1, 1]
# Photograph; top, bottom, left, right.
CROPS = [
    (name, [top, top + 64, left, left + 96])
    for name in ("astronaut", "chelsea")
    for top, left in ((16, 24), (0, 0), (64, 32))
]
FLOAT32 = 1e-4


def network(dtype):
    model = peers.Probed(peers.Basic, BLOCKS).eval()
    return formula.fill(model), model.to(dtype)


def case(name: str, crop: list) -> dict:
    photograph_maps.PHOTOGRAPH, photograph_maps.CROP = name, crop
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (peers.MEAN, peers.STD))
    image = (torch.from_numpy(photograph_maps.pixels()) - mean) / std
    tensors, single = network(torch.float32)
    _, double = network(torch.float64)
    maps = [
        photograph_maps.integrated(model, image.to(dtype)).detach().sum(1)
        for model, dtype in ((single, torch.float32), (double, torch.float64))
    ]
    gap = float((maps[0] - maps[1]).abs().max() / maps[1].abs().max())
    print(name, crop, f"float32 gap {gap:.1e}")
    assert gap < FLOAT32
    key = f"integrated_gradients/{photograph_maps.TARGET}"
    return {
        "photograph": name,
        "crop": crop,
        "blocks": BLOCKS,
        "targets": [photograph_maps.TARGET],
        "float32_gaps": {key: float(f"{gap:.1e}")},
        "tensors": tensors,
        "logits": formula.numbers(double(image.double()).detach()),
        "maps": {key: peers.stored(maps[1])},
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    peers.STRIDE = photograph_maps.STRIDE
    formula.write(
        __file__,
        {
            "versions": formula.versions("torch", "torchvision", "captum", "pillow", "numpy"),
            "tolerance": 1e-4,
            "stride": photograph_maps.STRIDE,
            "mean": peers.MEAN,
            "std": peers.STD,
            "crops": [case(name, crop) for name, crop in CROPS],
        },
    )


if __name__ == "__main__":
    main()
