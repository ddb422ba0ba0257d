"""From a JPEG or PNG file to torchvision's features: ResNet-18 with the formula's weights on the photographs of ../pillow.

Pillow decodes, torchvision resizes (72, bilinear with antialias), crops (64) and normalises with ImageNet's constants;
the pooled output of layer4 is stored. Expected numbers are computed in float64 from the float32 input that ToTensor and
Normalize give. Tolerance 1e-5 of the largest magnitude: float32 torch itself is off by the printed gap, while one pixel
that differs by one level moves the features by more than 1e-4.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import formula
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision import transforms

FILES = ["baseline420.jpg", "baseline422.jpg", "progressive.jpg", "grey.jpg", "rotated.jpg", "colour.png", "palette.png"]
TRANSFORM = transforms.Compose(
    [
        transforms.Resize(72, interpolation=transforms.InterpolationMode.BILINEAR),
        transforms.CenterCrop(64),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def main() -> None:
    found = formula.versions("torch", "torchvision", "pillow", "numpy")
    model = torchvision.models.resnet18(weights=None, num_classes=10)
    tensors = formula.fill(model)
    model.fc = torch.nn.Identity()
    load = lambda name: ImageOps.exif_transpose(Image.open(HERE.parent / "pillow" / name)).convert("RGB")
    batch = torch.stack([TRANSFORM(load(name)) for name in FILES])
    single, double = model(batch), model.double()(batch.double())
    gap = float((single - double).abs().max() / double.abs().max())
    print("float32 gap", gap)
    formula.write(
        __file__,
        {
            "versions": found,
            "float32_gap": gap,
            "tolerance": 1e-5,
            "files": FILES,
            "tensors": tensors,
            "pooled": [formula.numbers(row) for row in double],
        },
    )


if __name__ == "__main__":
    main()
