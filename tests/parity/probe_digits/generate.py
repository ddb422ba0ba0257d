"""Multinomial logistic regression on scikit-learn's digits: coefficients and loss at the optimum.

300 rows of the 8 x 8 digits, values 0..16 divided by 16, C = 1, intercepts free. LogisticRegression's lbfgs stops
early whatever its tolerance, so newton-cholesky solves it, and the gradient left is printed. Coefficients are held to
1e-3 and the mean loss to 1e-6. Intercepts have one free direction (a number common to all), so they are centred.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

ROWS = 300
SYMBOLS = "0123456789abcdefg"


def main() -> None:
    digits = load_digits()
    x, y = digits.data[:ROWS] / 16, digits.target[:ROWS]
    model = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y)
    logits = model.decision_function(x)
    logits = logits - logits.max(1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = float(-np.log(probabilities[np.arange(ROWS), y]).mean())
    slope = (probabilities - np.eye(10)[y]).T @ x + model.coef_
    print("norm of the gradient left", np.linalg.norm(slope) / ROWS, "accuracy", (logits.argmax(1) == y).mean())
    content = {
        "versions": formula.versions("scikit-learn", "numpy"),
        "rows": ["".join(SYMBOLS[int(v)] for v in row) for row in digits.data[:ROWS]],
        "labels": "".join(str(label) for label in y),
        "loss": loss,
        "coefficients": formula.numbers(model.coef_),
        "intercepts": formula.numbers(model.intercept_ - model.intercept_.mean()),
    }
    formula.write(__file__, content)


if __name__ == "__main__":
    main()
