"""Similarity of two maps: SciPy's correlations and scikit-image's structural similarity with its default window.

Correlations do not change with scale. Structural similarity does: maps are divided by their largest magnitude first, so
that values lie within a range of 2. Rounded values have ties, whose ranks SciPy averages.

Everything is float64; 1e-6 is what maps of float32 leave of it.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import numpy as np
from scipy.stats import pearsonr, spearmanr
from skimage.metrics import structural_similarity

ROWS, COLUMNS = 23, 31


def main() -> None:
    found = formula.versions("numpy", "scipy", "scikit-image")
    a, b = (formula.unit(name, [ROWS, COLUMNS]) for name in ("first", "second"))
    pairs = {
        "unrelated": (a, b),
        "related": (a, 0.7 * a + 0.3 * b),
        "reversed": (a, -3.0 * a + b),
        "ties": (np.round(4 * a) / 4, np.round(2 * (a + b)) / 4),
        "faint": (a, 1e-3 * (a + b)),
    }
    cases = {}
    for name, (x, y) in pairs.items():
        x, y = (np.asarray(value, dtype=np.float32).astype(np.float64) for value in (x, y))
        divided = [value / np.abs(value).max() for value in (x, y)]
        cases[name] = {
            "maps": [formula.numbers(x), formula.numbers(y)],
            "pearson": float(pearsonr(x.ravel(), y.ravel()).statistic),
            "spearman": float(spearmanr(x.ravel(), y.ravel()).statistic),
            "ssim": float(structural_similarity(*divided, data_range=2.0)),
        }
    formula.write(
        __file__, {"versions": found, "tolerance": 1e-6, "rows": ROWS, "columns": COLUMNS, "cases": cases}
    )


main()
