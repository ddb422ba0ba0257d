"""Multinomial logistic regression on features of Shapes: coefficients and loss at the optimum.

The first 400 training tiles under seed 0, through the shipped ResNet: `target/release/features` makes pictures and features
here, the test makes them again from the same functions, so no feature is stored. C = 0.1, intercepts free. As for the
digits newton-cholesky solves it, coefficients are held to 1e-3 and the mean loss to 1e-6. Features are rounded to 10
mantissa bits before anything is computed from them; another kind of CPU may round a few of them the other way, which moves
coefficients by less than their tolerance. Needs scikit-learn and pyarrow.
"""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[3]
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression

ROWS, C = 400, 0.1
EXPERIMENT = f"""
[experiment]
seed = 0
[data]
train = {ROWS}
validation = 1
test = 1
scenes = 1
[features]
images = "IMAGES"
backbone = "data/backbones/shapes-resnet.safetensors"
splits = ["train"]
"""


def features():
    with tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory)
        config = out / "shapes.toml"
        config.write_text(EXPERIMENT.replace("IMAGES", str(out / "images")))
        program = ROOT / "target/release/features"
        for words in (["shapes"], []):
            subprocess.run([program, *words, "--config", config, "--out", out, "--quiet"], check=True, cwd=ROOT)
        parts = sorted((out / "features").glob("*.parquet"))
        table = [row for part in parts for row in pq.ParquetFile(part).read(["embedding", "label"]).to_pylist()]
    return np.array([row["embedding"] for row in table], np.float64), np.array([row["label"] for row in table])


def main() -> None:
    x, y = features()
    assert x.shape[0] == ROWS and len(set(y)) == 20, x.shape
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y)
    logits = model.decision_function(x)
    logits = logits - logits.max(1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = float(-np.log(probabilities[np.arange(ROWS), y]).mean())
    slope = C * (probabilities - np.eye(20)[y]).T @ x + model.coef_
    print("norm of the gradient left", np.linalg.norm(slope) / ROWS, "accuracy", (logits.argmax(1) == y).mean())
    content = {
        "versions": formula.versions("scikit-learn", "numpy"),
        "weight_decay": 1 / (C * ROWS),
        "sum_of_features": float(x.sum()),
        "loss": loss,
        "coefficients": formula.numbers(model.coef_),
        "intercepts": formula.numbers(model.intercept_ - model.intercept_.mean()),
    }
    formula.write(__file__, content)


if __name__ == "__main__":
    main()
