"""Figures of predictions as torchmetrics computes them: top-k accuracy, calibration error, and those of several labels.

What torchmetrics has not is left out: difficult objects, and classes that no image has. Scores have no ties, because
torchmetrics orders equal ones as a sort lets them.

torchmetrics computes in float32: 1e-6 of the largest figure.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import formula
import numpy as np
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multilabel_average_precision,
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)

IMAGES, CLASSES, BINS = 120, 9, 15


def main() -> None:
    found = formula.versions("torch", "torchmetrics", "numpy")
    logits = (3 * formula.unit("logits", [IMAGES, CLASSES])).astype(np.float32)
    assert len(np.unique(logits)) == logits.size, "no ties"
    # Labels that are often, not always, the largest logit.
    labels = (logits + 2 * formula.unit("labels", [IMAGES, CLASSES])).argmax(1)
    there = (logits + 3 * formula.unit("there", [IMAGES, CLASSES]) > 1.5).astype(int)
    assert there.sum(0).min() > 0
    scores, label, present = torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(there)
    softmax, sigmoid = torch.softmax(scores, 1), torch.sigmoid(scores)
    top = {k: multiclass_accuracy(softmax, label, CLASSES, average="micro", top_k=k) for k in (1, 5)}
    several = {
        f"{name}_{average}": 100 * figure(sigmoid, present, CLASSES, average=average).item()
        for average in ("macro", "micro")
        for name, figure in (
            ("precision", multilabel_precision),
            ("recall", multilabel_recall),
            ("f1", multilabel_f1_score),
        )
    }
    formula.write(
        __file__,
        {
            "versions": found,
            "tolerance": 1e-6,
            "classes": CLASSES,
            "bins": BINS,
            "labels": labels.tolist(),
            "there": there.ravel().tolist(),
            "top1": top[1].item(),
            "top5": top[5].item(),
            "calibration_error": multiclass_calibration_error(softmax, label, CLASSES, BINS, "l1").item(),
            "mean_average_precision": 100 * multilabel_average_precision(sigmoid, present, CLASSES).item(),
            "several": several,
        },
    )


main()
