"""Two small photographs for the cases that want real ones: scikit-image's astronaut (NASA, public domain) and chelsea
(CC0, Stefan van der Walt), cropped, shrunk and encoded as JPEG.

Needs pillow and scikit-image. Run: python generate.py
"""

import pathlib

import skimage.data
from PIL import Image

HERE = pathlib.Path(__file__).parent
# Name, left, top, width and height of the result, by how much it is shrunk.
PARTS = [("astronaut", 0, 0, 160, 128, 2.2), ("chelsea", 60, 0, 128, 128, 2.2)]


def main() -> None:
    for name, left, top, width, height, shrink in PARTS:
        box = (left, top, left + round(width * shrink), top + round(height * shrink))
        part = Image.fromarray(getattr(skimage.data, name)()).crop(box)
        path = HERE / f"{name}.jpg"
        part.resize((width, height), Image.Resampling.LANCZOS).save(path, quality=88, subsampling="4:2:0")
        print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
