"""Classifier tests: can a network tell generated showers from Geant4's?

    from caloforge.classifiers import TESTS, expected_seconds, run_test

    expected_seconds("caloman", len(generated), generated.geometry)
    run_test("caloman", generated, reference, repeats=3).auc

`base` has what a test is and how one is registered, `suite` and `trees` the tests by name, `features` what they look
at, `architectures`, `fitting` and `scores` the rest; `run_multiclass` asks which of several generators comes nearest to
Geant4, `learning_curve` gives AUC against the number of showers.
"""

from caloforge.classifiers import rings, strong, suite, trees
from caloforge.classifiers.base import (
    MIN_SHOWERS,
    TESTS,
    ClassifierResult,
    ClassifierTest,
    ClassifierTraining,
    Epoch,
    EpochProgress,
    Importance,
    get_test,
    register,
)
from caloforge.classifiers.curve import default_sizes, learning_curve
from caloforge.classifiers.expected_time import expected_seconds
from caloforge.classifiers.fitting import ClassifierSettings
from caloforge.classifiers.multiclass import MulticlassResult, run_multiclass
from caloforge.classifiers.network_test import NetworkTest, run_test

__all__ = [
    "MIN_SHOWERS",
    "TESTS",
    "ClassifierResult",
    "ClassifierSettings",
    "ClassifierTest",
    "ClassifierTraining",
    "Epoch",
    "EpochProgress",
    "Importance",
    "MulticlassResult",
    "NetworkTest",
    "default_sizes",
    "expected_seconds",
    "get_test",
    "learning_curve",
    "register",
    "rings",
    "run_multiclass",
    "run_test",
    "strong",
    "suite",
    "trees",
]
