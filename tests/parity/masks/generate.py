"""Masks of COCO outlines as pycocotools makes them: polygons, several at once, at borders, repeated corners, RLE, packed RLE.

Writes instances.json, which `features import` reads, and expected.json with the uncompressed counts of each object.
Needs pycocotools and numpy. Masks are compared for equality. Run: python generate.py
"""

import json
import pathlib

import numpy as np
from pycocotools import mask

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 61, 47


def counts(rle: dict) -> list[int]:
    flat = mask.decode(rle).reshape(-1, order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def main() -> None:
    rng = np.random.default_rng(5)
    square = [[10.0, 5.0, 30.0, 5.0, 30.0, 20.0, 10.0, 20.0]]
    outlines = [square, [[3.2, 4.7, 20.1, 9.9, 11.4, 40.3]], [[0.0, 0.0, 61.0, 0.0, 61.0, 47.0, 0.0, 47.0]]]
    outlines.append([[-5.5, -3.0, 30.2, -8.0, 70.7, 50.0, 10.0, 60.0]])
    outlines.append([[5.0, 5.0, 5.0, 5.0, 25.5, 5.0, 25.5, 5.0, 25.5, 31.25, 5.0, 31.25]])
    outlines.append([[10.0, 10.0, 40.0, 40.0, 40.0, 10.0, 10.0, 40.0]])
    outlines.append(square + [[25.0, 15.0, 50.0, 18.0, 41.0, 44.0]])
    for corners in (3, 5, 8, 13, 40):
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = rng.uniform(3, 24, corners)
        xy = np.stack([30 + radius * np.cos(angle), 23 + radius * np.sin(angle)], 1)
        outlines.append([np.round(xy.reshape(-1), 2).tolist()])
    for _ in range(4):
        outlines.append([np.round(rng.uniform(-4, 64, 14), 2).tolist()])
    expected = [counts(mask.merge(mask.frPyObjects(polygons, HEIGHT, WIDTH))) for polygons in outlines]
    dots = (rng.uniform(size=(HEIGHT, WIDTH)) < 0.3).astype(np.uint8)
    blocks = np.kron((rng.uniform(size=(7, 9)) < 0.5), np.ones((7, 7)))[:HEIGHT, :WIDTH].astype(np.uint8)
    for bitmap in (dots, blocks):
        packed = mask.encode(np.asfortranarray(bitmap))
        expected += [counts(packed)] * 2
        outlines.append({"size": [HEIGHT, WIDTH], "counts": counts(packed)})
        outlines.append({"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()})
    annotations = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0, "segmentation": s}
        for i, s in enumerate(outlines)
    ]
    picture = {"id": 1, "file_name": "blank.png", "width": WIDTH, "height": HEIGHT}
    instances = {"images": [picture], "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (HERE / "instances.json").write_text(json.dumps(instances) + "\n")
    (HERE / "expected.json").write_text(json.dumps({"counts": expected}) + "\n")
    print(len(expected), "masks")


if __name__ == "__main__":
    main()
