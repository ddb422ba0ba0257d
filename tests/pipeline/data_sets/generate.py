"""Tiny data sets as researchers have them: an ImageFolder, a VOC devkit, COCO instances, a Parquet table as on the hub.

All show the same kind of picture, 80 x 60 pixels: one or two patches of a colour and shape on grey noise. A class is a
colour, so a linear probe on any features learns it. Needs pillow, numpy and pyarrow. Run: python generate.py
"""

import io
import json
import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 80, 60
# Names that VOC has too; a colour each.
CLASSES = {"bird": (220, 60, 50), "car": (60, 190, 70), "cat": (60, 80, 220), "dog": (220, 200, 60)}
NAMES = list(CLASSES)
TRAIN, VALIDATION, TEST = 24, 8, 16


def draw(rng: np.random.Generator, classes: list[str]) -> tuple[bytes, list[tuple[str, list[float]]]]:
    """A JPEG file, and a polygon for each object."""
    noise = np.clip(rng.normal(120, 18, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(noise)
    objects = []
    for index, name in enumerate(classes):
        width, height = rng.integers(24, 34, 2).tolist()
        room = WIDTH // len(classes)
        left = index * room + int(rng.integers(1, room - width))
        top = int(rng.integers(2, HEIGHT - height - 2))
        middle, side = left + width // 2, top + height // 2
        polygon = [left, side, middle, top, left + width, side, middle, top + height]
        ImageDraw.Draw(image).polygon(polygon, fill=CLASSES[name])
        objects.append((name, [float(v) for v in polygon]))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue(), objects


def box(polygon: list[float]) -> list[int]:
    xs, ys = polygon[0::2], polygon[1::2]
    return [int(min(xs)), int(min(ys)), int(max(xs)), int(max(ys))]


def folder(rng: np.random.Generator) -> None:
    root = HERE / "folder"
    shutil.rmtree(root, ignore_errors=True)
    for split, count in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        for i in range(count):
            name = NAMES[i % 4]
            path = root / split / name / f"{i:03}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draw(rng, [name])[0])


def hub(rng: np.random.Generator) -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([("image", struct), ("label", pa.int64())], metadata=metadata)
    (HERE / "hub").mkdir(exist_ok=True)
    for split, count in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        images = [{"bytes": draw(rng, [NAMES[i % 4]])[0], "path": f"{i:03}.JPEG"} for i in range(count)]
        table = pa.table([pa.array(images, struct), pa.array([i % 4 for i in range(count)], pa.int64())], schema=schema)
        pq.write_table(table, HERE / "hub" / f"{split}-00000-of-00001.parquet", row_group_size=10)


def scenes(rng: np.random.Generator) -> None:
    """A VOC devkit, and COCO instances of the same pictures."""
    voc = HERE / "VOCdevkit" / "VOC2007"
    shutil.rmtree(voc, ignore_errors=True)
    for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (voc / part).mkdir(parents=True)
    (HERE / "coco").mkdir(exist_ok=True)
    categories = [{"id": 10 * (i + 1), "name": name, "supercategory": "thing"} for i, name in enumerate(NAMES)]
    number = 0
    for split, count in (("train", TRAIN), ("val", VALIDATION), ("test", TEST)):
        ids, pictures, annotations = [], [], []
        for i in range(count):
            number += 1
            classes = [NAMES[i % 4]] if i % 3 == 0 else [NAMES[i % 4], NAMES[(i + 1 + i // 4) % 4]]
            classes = list(dict.fromkeys(classes))
            data, objects = draw(rng, classes)
            name = f"{number:06}"
            ids.append(name)
            (voc / "JPEGImages" / f"{name}.jpg").write_bytes(data)
            size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
            lines = [f"<annotation><filename>{name}.jpg</filename>{size}"]
            for index, (kind, polygon) in enumerate(objects):
                x0, y0, x1, y1 = box(polygon)
                difficult = int(i % 8 == 7 and index == 1)
                lines.append(
                    f"<object><name>{kind}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0 + 1}</xmin>"
                    f"<ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
                )
                annotations.append(
                    {
                        "id": len(annotations) + 1, "image_id": number, "category_id": 10 * (NAMES.index(kind) + 1),
                        "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0) / 2, "iscrowd": 0,
                        "segmentation": [polygon],
                    }
                )
            (voc / "Annotations" / f"{name}.xml").write_text("\n".join([*lines, "</annotation>", ""]))
            pictures.append({"id": number, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT})
        (voc / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids))
        instances = {"images": pictures, "annotations": annotations, "categories": categories}
        (HERE / "coco" / f"instances_{split}.json").write_text(json.dumps(instances) + "\n")


if __name__ == "__main__":
    generator = np.random.default_rng(7)
    folder(generator)
    hub(generator)
    scenes(generator)
