"""Tiny checkpoints as torch.save and safetensors write them, in the layouts of the training codes in use.

Values follow a formula of name and index that is exact in every element type, so the test compares for equality:
    v(name, i) = ((i + sum of the name's bytes) mod 13 - 6) / 8, for running_var 1 + |v|.
Names are those of torchvision, facebookresearch/moco, moco-v3, dino, mmpretrain and B-cos-v2, as their code writes them.
Needs torch, numpy and safetensors. Run: python generate.py
"""

import argparse
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
    torch.save({"weights": basic, "note": Evil()}, HERE / "evil.pth")
    torch.save({"weights": basic, "note": Evil()}, HERE / "evil_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
