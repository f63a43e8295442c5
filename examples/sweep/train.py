"""Train a support vector machine to read hand-written digits and report how well it does.

The data are the 1,797 scans of scikit-learn's `load_digits` (8 by 8 pixels each); every model is judged by three-fold
cross-validation, that is, only on digits which it did not see while it was trained.
"""

import argparse
import json
import os
import time
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--c", type=float, required=True, help="penalty of errors")
parser.add_argument("--gamma", type=float, required=True, help="how near a neighbour must be to count")
asked = parser.parse_args()

images, digits = load_digits(return_X_y=True)
model = make_pipeline(StandardScaler(), SVC(C=asked.c, gamma=asked.gamma))
began = time.perf_counter()
scores = cross_validate(model, images, digits, cv=3, return_train_score=True)
result = {
    "c": asked.c,
    "gamma": asked.gamma,
    "accuracy": round(float(scores["test_score"].mean()), 4),
    "accuracy_on_training_data": round(float(scores["train_score"].mean()), 4),
    "seconds": round(time.perf_counter() - began, 2),
}
print(f"accuracy {result['accuracy']:.2%} with C={asked.c:g} and gamma={asked.gamma:g}")

# What a job writes to this file becomes columns of the results table.
Path(os.environ["GLIDERPORT_RESULT"]).write_text(json.dumps(result), encoding="utf-8")
