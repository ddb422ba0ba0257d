"""Tiny checkpoints as torch.save and safetensors write them, in the layouts of the training codes in use.

Values follow a formula of name and index that is exact in every element type, so the test compares for equality:
    v(name, i) = ((i + sum of the name's bytes) mod 13 - 6) / 8, for running_var 1 + |v|.
clip.pt is a TorchScript program, as OpenAI publishes CLIP: half precision, with the attention pool. clip.json holds what
its trunk makes of the formula's image, in float64; it is ModifiedResNet of openai/CLIP's model.py without that pool.
Names are those of torchvision, facebookresearch/moco, moco-v3, dino, mmpretrain and B-cos-v2, as their code writes them.
Needs torch, numpy and safetensors. Run: python generate.py
"""

import argparse
import json
import os
import pathlib
from collections import OrderedDict

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent


def value(name: str, shape) -> torch.Tensor:
    count = int(np.prod(shape))
    v = ((np.arange(count) + sum(name.encode())) % 13 - 6) / 8
    v = 1 + np.abs(v) if name.endswith("running_var") else v
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def resnet(block: str, bcos: bool = False, classes: int = 3) -> OrderedDict:
    state = OrderedDict()
    weight = "linear.weight" if bcos else "weight"

    def conv(name, *shape):
        state[f"{name}.{weight}"] = value(f"{name}.{weight}", shape)

    def norm(name, channels):
        for field in ("weight", "running_mean", "running_var") if bcos else ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{field}"] = value(f"{name}.{field}", (channels,))
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 4, 6 if bcos else 3, 7, 7)
    norm("bn1", 4)
    channels = 4
    for layer, width in ((1, 2), (2, 4)):
        inner = 2 * width if block == "wide" else width
        out = width if block == "basic" else 4 * width
        for j in range(2 if layer == 1 else 1):
            at = f"layer{layer}.{j}"
            shapes = (
                [(width, channels, 3, 3), (width, width, 3, 3)]
                if block == "basic"
                else [(inner, channels, 1, 1), (inner, inner, 3, 3), (out, inner, 1, 1)]
            )
            for k, shape in enumerate(shapes, 1):
                conv(f"{at}.conv{k}", *shape)
                norm(f"{at}.bn{k}", shape[0])
            if channels != out or (layer > 1 and j == 0):
                conv(f"{at}.downsample.0", out, channels, 1, 1)
                norm(f"{at}.downsample.1", out)
            channels = out
    if classes:
        if bcos:
            state["fc.linear.weight"] = value("fc.linear.weight", (classes, channels, 1, 1))
        else:
            state["fc.weight"], state["fc.bias"] = value("fc.weight", (classes, channels)), value("fc.bias", (classes,))
    return state


def prefixed(prefix: str, state, shift: float = 0.0) -> OrderedDict:
    """Copies that differ by a shift are told apart by their values."""
    return OrderedDict((prefix + k, v + shift if v.is_floating_point() else v) for k, v in state.items())


class ClipBottleneck(torch.nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(inputs, planes, 1, bias=False), torch.nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = torch.nn.Conv2d(planes, planes, 3, padding=1, bias=False), torch.nn.BatchNorm2d(planes)
        self.avgpool = torch.nn.AvgPool2d(stride) if stride > 1 else torch.nn.Identity()
        self.conv3, self.bn3 = torch.nn.Conv2d(planes, planes * 4, 1, bias=False), torch.nn.BatchNorm2d(planes * 4)
        self.downsample = torch.nn.Identity()
        if stride > 1 or inputs != planes * 4:
            layers = [("-1", torch.nn.AvgPool2d(stride)), ("0", torch.nn.Conv2d(inputs, planes * 4, 1, bias=False))]
            self.downsample = torch.nn.Sequential(OrderedDict([*layers, ("1", torch.nn.BatchNorm2d(planes * 4))]))

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.avgpool(torch.relu(self.bn2(self.conv2(out))))
        return torch.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class ClipVisual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(3, 2, 3, stride=2, padding=1, bias=False), torch.nn.BatchNorm2d(2)
        self.conv2, self.bn2 = torch.nn.Conv2d(2, 2, 3, padding=1, bias=False), torch.nn.BatchNorm2d(2)
        self.conv3, self.bn3 = torch.nn.Conv2d(2, 4, 3, padding=1, bias=False), torch.nn.BatchNorm2d(4)
        self.avgpool = torch.nn.AvgPool2d(2)
        self.layer1 = torch.nn.Sequential(ClipBottleneck(4, 2, 1), ClipBottleneck(8, 2, 1))
        self.layer2 = torch.nn.Sequential(ClipBottleneck(8, 4, 2))
        self.attnpool = torch.nn.Linear(16, 5)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.avgpool(torch.relu(self.bn3(self.conv3(x))))
        return self.layer2(self.layer1(x))


class Clip(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.visual = ClipVisual()
        self.logit_scale = torch.nn.Parameter(torch.ones([]))

    def forward(self, image):
        return self.visual(image)


def clip() -> None:
    model = Clip()
    # Divided by 16, so that the products of a few layers stay small.
    state = {
        k: v if k.endswith("num_batches_tracked") else value(k, v.shape) / (16 if v.dim() == 4 else 1)
        for k, v in model.state_dict().items()
    }
    model.load_state_dict(state)
    model.eval().requires_grad_(False)
    torch.jit.save(torch.jit.script(model.half()), HERE / "clip.pt")
    image = torch.from_numpy((np.arange(3 * 32 * 48).reshape(1, 3, 32, 48) * 37 % 101 / 101).astype(np.float32))
    features = model.double()(image.double())
    numbers = {"shape": list(features.shape), "features": [float(f"{x:.9g}") for x in features.flatten().tolist()]}
    (HERE / "clip.json").write_text(json.dumps(numbers, separators=(",", ":")) + "\n")


class Evil:
    def __reduce__(self):
        return os.system, ("touch probescope-was-fooled",)


def main() -> None:
    basic, deep = resnet("basic"), resnet("bottleneck", classes=0)
    torch.save(basic, HERE / "torchvision.pth")
    torch.save(basic, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({k: v.double() for k, v in basic.items()}, HERE / "double.pt")

    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    moco = prefixed("module.encoder_q.", basic) | prefixed("module.encoder_k.", basic, 0.5)
    moco |= {"module.queue": value("queue", (3, 5)), "module.queue_ptr": torch.tensor([0])}
    torch.save(
        {"epoch": 200, "arch": "resnet50", "state_dict": moco, "optimizer": optimizer.state_dict()},
        HERE / "moco_v2.pth.tar",
    )
    v3 = prefixed("module.base_encoder.", deep) | prefixed("module.momentum_encoder.", deep, 0.5)
    torch.save({"epoch": 1000, "arch": "resnet50", "state_dict": v3}, HERE / "moco_v3.pth.tar")
    student, teacher = prefixed("module.backbone.", deep, 0.5), prefixed("module.backbone.", deep)
    arguments = argparse.Namespace(arch="resnet50", lr=0.03, output_dir=pathlib.PosixPath("out"), use_fp16=False)
    torch.save(
        {"student": student, "teacher": teacher, "optimizer": optimizer.state_dict(), "epoch": 800, "args": arguments,
         "dino_loss": OrderedDict(center=torch.zeros(1, 4)), "fp16_scaler": None},
        HERE / "dino.pth",
        _use_new_zipfile_serialization=False,
    )
    mm = prefixed("backbone.", resnet("bottleneck", bcos=True, classes=0))
    mm["head.fc.linear.weight"] = value("head", (3, 16, 1, 1))
    torch.save(
        {"meta": {"epoch": 100, "cfg": "model = dict()", "time": "20240101"}, "state_dict": mm,
         "message_hub": {"loss": np.float64(0.5), "history": np.arange(3.0), "info": {"iter": 7, "ok": True}}},
        HERE / "mmpretrain_bcos.pth",
    )
    # Half precision, and convolutions stored with channels last, as trainers with that memory format leave them.
    half = OrderedDict(
        (k, (v.to(memory_format=torch.channels_last) if v.dim() == 4 else v).to(torch.bfloat16) if v.is_floating_point() else v)
        for k, v in resnet("wide").items()
    )
    torch.save(half, HERE / "wide_bf16.pth")
    save_file({k: v.half() for k, v in resnet("bottleneck").items()}, HERE / "half.safetensors")
    clip()
    torch.save({"weights": basic, "note": Evil()}, HERE / "evil.pth")
    torch.save({"weights": basic, "note": Evil()}, HERE / "evil_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
