"""Photographs in the formats that data sets have, and what Pillow makes of them: decoded, and fitted to a network.

NAME is the file, NAME.decoded.png Pillow's pixels of it, NAME.fitted.png those of torchvision's Resize(72) (bilinear with
antialias) and CenterCrop(64) on the Pillow image, which are Pillow's resize and crop. EXIF rotation is applied, as the
reference's loader (mmcv) does; 16 bits are cut to the upper 8. NAME.bicubic.png (two files) is fitted with Pillow's
bicubic filter. All must be equal. Photographs: scikit-image's astronaut (NASA, public domain), chelsea (CC0, Stefan van
der Walt) and rocket (CC0, SpaceX).
Needs pillow, numpy and scikit-image. Run: python generate.py
"""

import pathlib
import struct
import zlib

import numpy as np
import skimage.data
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
SHORT, CROP = 72, 64


def photo(array, left, top, width, height, shrink) -> Image.Image:
    part = Image.fromarray(array).crop((left, top, left + width * shrink, top + height * shrink))
    return part.resize((width, height), Image.Resampling.LANCZOS)


def png16(path, array) -> None:
    """A 16-bit PNG file, grey or RGB; Pillow writes no RGB ones."""
    height, width = array.shape[:2]
    colour = 2 if array.ndim == 3 else 0
    rows = array.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def scaled(width, height):
    return (SHORT, int(SHORT * height / width)) if width <= height else (int(SHORT * width / height), SHORT)


def load(path) -> Image.Image:
    image = Image.open(path)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return ImageOps.exif_transpose(image).convert("RGB")


def main() -> None:
    astronaut = photo(skimage.data.astronaut(), 100, 0, 133, 100, 2)
    chelsea = photo(skimage.data.chelsea(), 90, 30, 96, 119, 2)
    rocket = photo(skimage.data.rocket(), 200, 40, 101, 121, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = chelsea.quantize(64)
    alpha = rocket.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(rocket.size))
    files = {
        "baseline420.jpg": (astronaut, dict(quality=90, subsampling="4:2:0")),
        "baseline422.jpg": (chelsea, dict(quality=75, subsampling="4:2:2")),
        "baseline444.jpg": (rocket, dict(quality=95, subsampling="4:4:4")),
        "progressive.jpg": (chelsea, dict(quality=85, progressive=True)),
        "restart.jpg": (astronaut, dict(quality=60, restart_marker_rows=1)),
        "grey.jpg": (astronaut.convert("L"), dict(quality=85)),
        "cmyk.jpg": (chelsea.convert("CMYK"), dict(quality=90)),
        "rotated.jpg": (rocket, dict(quality=85, exif=exif)),
        "colour.png": (astronaut, {}),
        "grey.png": (chelsea.convert("L"), {}),
        "palette.png": (palette, {}),
        "alpha.png": (alpha, {}),
        "bilevel.png": (rocket.convert("1"), {}),
    }
    for name, (image, options) in files.items():
        image.save(HERE / name, **options)
    wide = np.asarray(chelsea).astype(np.uint32) * 257 - (np.arange(96 * 119 * 3).reshape(119, 96, 3) % 200)
    png16(HERE / "grey16.png", np.clip(wide[..., 1], 0, 65535))
    png16(HERE / "colour16.png", np.clip(wide, 0, 65535))
    for name in [*files, "grey16.png", "colour16.png"]:
        image = load(HERE / name)
        image.save(HERE / f"{name}.decoded.png")
        resized = image.resize(scaled(*image.size), Image.Resampling.BILINEAR)
        left, top = round((resized.width - CROP) / 2.0), round((resized.height - CROP) / 2.0)
        box = (left, top, left + CROP, top + CROP)
        resized.crop(box).save(HERE / f"{name}.fitted.png")
        if name in ("baseline420.jpg", "grey.png"):
            cubic = image.resize(scaled(*image.size), Image.Resampling.BICUBIC)
            cubic.crop(box).save(HERE / f"{name}.bicubic.png")


if __name__ == "__main__":
    main()
