"""Quickshift of two photographs, and of a picture of two flat colours, by scikit-image, with the settings of lime and of the paper's code.

`labels` have the noise that breaks ties drawn as the Rust side draws it, so they must be equal. `own_noise` is what
scikit-image gives with its own generator, seeded with its default of 42: on the photographs the same segments, as noise
decides between pixels of one density only. In the flat picture it decides everything, so there only equal noise can give
equal labels.
Labels are stored as the lengths of runs and their labels, row after row.
Needs numpy, scikit-image, scikit-learn, pillow and blake3. Run: python generate.py
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import formula
import numpy as np
import streams
from PIL import Image
from skimage.segmentation import quickshift
from sklearn.metrics import adjusted_rand_score

SETTINGS = {"kernel_size": 4, "max_dist": 200, "ratio": 0.2, "sigma": 0, "convert2lab": True}


class Noise:
    """What scikit-image takes for numpy's generator: it asks once, and gets the draws of `segment/quickshift.rs`."""

    def normal(self, scale, size):
        stream = streams.Stream(0, ["attribute", "quickshift"])

        def draw():
            radius = np.sqrt(-2.0 * np.log(1.0 - stream.uniform()))
            return radius * np.cos(2 * np.pi * stream.uniform())

        return scale * np.array([draw() for _ in range(size[0] * size[1])]).reshape(size)


def runs(labels) -> list:
    flat = labels.reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]))
    return [[int(b - a), int(flat[a])] for a, b in zip(starts[:-1], starts[1:])]


def flat() -> np.ndarray:
    """A square on a ground, each of one colour."""
    picture = np.full((60, 80, 3), 60, np.uint8)
    picture[20:45, 30:60] = (200, 180, 20)
    return picture


def main() -> None:
    cases = {}
    photograph = lambda name: np.asarray(Image.open(HERE.parent / "small_photographs" / f"{name}.jpg"))
    for name, picture in (("astronaut", photograph("astronaut")), ("chelsea", photograph("chelsea")), ("flat", flat())):
        own = quickshift(picture, **SETTINGS)
        default_rng, np.random.default_rng = np.random.default_rng, lambda seed: Noise()
        labels = quickshift(picture, **SETTINGS)
        np.random.default_rng = default_rng
        index = adjusted_rand_score(labels.ravel(), own.ravel())
        print(name, labels.max() + 1, own.max() + 1, "segments, adjusted Rand index", index)
        assert (index < 0.9) == (name == "flat"), "the generator was not the one asked"
        cases[name] = {"size": list(labels.shape), "labels": runs(labels), "own_noise": runs(own)}
    formula.write(__file__, {"versions": formula.versions("scikit-image", "numpy"), "cases": cases})


if __name__ == "__main__":
    main()
