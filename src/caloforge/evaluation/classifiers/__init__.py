"""Classifier tests: can a network tell generated showers from Geant4's?

    from caloforge.evaluation.classifiers import TESTS, expected_seconds, run_test

    expected_seconds("caloman", len(generated), generated.geometry)
    run_test("caloman", generated, reference, repeats=3)["auc"]

`suite` has the tests by name, `features` what they look at, `networks`, `training` and `metrics` the rest;
`run_multiclass` asks which of several generators comes nearest to Geant4, `learning_curve` gives AUC against
the number of showers.
"""

from caloforge.evaluation.classifiers.curve import learning_curve
from caloforge.evaluation.classifiers.multiclass import run_multiclass
from caloforge.evaluation.classifiers.run import Progress, run_test
from caloforge.evaluation.classifiers.suite import TESTS, ClassifierTest, get_test
from caloforge.evaluation.classifiers.timing import expected_seconds
from caloforge.evaluation.classifiers.training import MIN_SHOWERS, Epoch, TrainingSettings

__all__ = [
    "MIN_SHOWERS",
    "TESTS",
    "ClassifierTest",
    "Epoch",
    "Progress",
    "TrainingSettings",
    "expected_seconds",
    "get_test",
    "learning_curve",
    "run_multiclass",
    "run_test",
]
