"""Images a second through ResNet-50 at 224 px, from JPEG files on disk to layer-4 maps, ours and PyTorch's in turn.

usage: python tests/bench/features.py [--programs DIR] [--images N] [--rounds N] [--threads N]
                                      [--device cuda] [--precision bfloat16] [--compile]
Needs torch, torchvision, scikit-image and pyarrow. The pictures are crops of scikit-image's sample photographs, 500 x 375.

Both sides read files, decode, resize to 256, cut 224, normalise and run the same weights in float32. PyTorch is used as
its documentation advises: ImageFolder, a DataLoader with a worker a thread, channels_last, inference_mode, and the best of
several batch sizes, with autocast in bfloat16 and torch.compile where asked; its maps stay in memory. Ours is timed as whole processes, `features import` and `features`, with
everything they read and write. On a machine that others use, compare CPU seconds with --threads 1.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version

import numpy as np
import pyarrow.parquet as pq
import skimage.data
import torch
import torchvision
from PIL import Image
from torchvision import transforms

ROOT = pathlib.Path(__file__).parents[2]
SAMPLES = ["astronaut", "chelsea", "coffee", "rocket"]
BATCHES = {"cpu": [8, 32], "cuda": [64, 256]}


def photographs(root: pathlib.Path, count: int) -> None:
    rng = np.random.default_rng(0)
    sources = [Image.fromarray(getattr(skimage.data, name)()).convert("RGB") for name in SAMPLES]
    for index in range(count):
        source = sources[index % len(sources)]
        width = int(rng.integers(200, min(source.width, source.height * 4 // 3)))
        left, top = rng.integers(source.width - width + 1), rng.integers(source.height - width * 3 // 4 + 1)
        crop = source.crop((left, top, left + width, top + width * 3 // 4)).resize((500, 375), Image.BICUBIC)
        path = root / SAMPLES[index % len(sources)] / f"{index:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        crop.save(path, quality=92)


def timed(work):
    before, since = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    own = time.process_time()
    result = work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime + time.process_time() - own
    return time.perf_counter() - since, cpu, result


def ours(programs: pathlib.Path, place: pathlib.Path, threads: int, device: str, stage: list[str]) -> None:
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    command = [programs / stage[0], *stage[1:], "--config", place / "bench.toml", "--out", place / "out", "--device", device]
    command += ["--force", "--quiet"]
    subprocess.run(command, check=True, env=environment)


def peer(trunk, images: pathlib.Path, batch: int, threads: int, device: str, precision: str) -> torch.Tensor:
    usual = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    data = torchvision.datasets.ImageFolder(images, usual)
    loader = torch.utils.data.DataLoader(data, batch_size=batch, num_workers=threads, pin_memory=device != "cpu")
    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16"):
        place = {"device": device, "memory_format": torch.channels_last, "non_blocking": True}
        return torch.cat([trunk(x.to(**place)).float().cpu() for x, _ in loader])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "target" / "release")
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batches = BATCHES[torch.device(options.device).type]
    torch.manual_seed(0)
    model = torchvision.models.resnet50(weights=None).eval()
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        photographs(place / "images", options.images)
        torch.save(model.state_dict(), place / "resnet50.pth")
        (place / "bench.toml").write_text(
            f'[[data.source]]\nkind = "folder"\npath = "{place}/images"\nsplit = "test"\n'
            f'[features]\nimages = "{place}/out/images"\nbackbone = "{place}/resnet50.pth"\nsplits = ["test"]\n'
            f'precision = "{options.precision}"\n'
        )
        trunk = torch.nn.Sequential(*list(model.children())[:-2])
        trunk = trunk.to(options.device, memory_format=torch.channels_last)
        if options.compile:
            trunk = torch.compile(trunk)
        run = lambda batch: peer(trunk, place / "images", batch, options.threads, options.device, options.precision)
        if options.device != "cpu" or options.compile:
            # Kernels are chosen and compiled first; ours does so in every process.
            [run(batch) for batch in batches]
        figures: dict[str, list[tuple[float, float]]] = {}
        for _ in range(options.rounds):
            for batch in batches:
                wall, cpu, maps = timed(lambda: run(batch))
                figures.setdefault(f"PyTorch, batch {batch}", []).append((wall, cpu))
            for label, stage in (("features import", ["features", "import"]), ("features", ["features"])):
                wall, cpu, _ = timed(lambda: ours(options.programs, place, options.threads, options.device, stage))
                figures.setdefault(label, []).append((wall, cpu))
        table = pq.read_table(place / "out" / "features", columns=["image_key", "map"])
        found = torch.from_numpy(np.stack(table["map"].combine_chunks().flatten().to_numpy().reshape(-1, 2048, 7, 7)))
        largest = maps.abs().max()
        print(f"largest difference {(found - maps).abs().max() / largest:.1e} of the largest value (10 mantissa bits are kept)")
    print(f"{options.images} pictures, {options.threads} threads, {options.device}, {options.precision}, torch {version('torch')}")
    middle = {label: [statistics.median(column) for column in zip(*runs)] for label, runs in figures.items()}
    for label, (wall, cpu) in middle.items():
        print(f"{label:22} {options.images / wall:7.2f} images/s {1e3 * cpu / options.images:8.1f} CPU ms an image")
    best = min((middle[label] for label in middle if label.startswith("PyTorch")), key=lambda figure: figure[0])
    own = middle["features"]
    both = [own[i] + middle["features import"][i] for i in range(2)]
    print(f"ratio to PyTorch: features {best[0] / own[0]:.2f} (CPU {best[1] / own[1]:.2f}), with import {best[0] / both[0]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
