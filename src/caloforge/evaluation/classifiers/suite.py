"""The classifier tests by name: what each looks at, its network, and how it is trained.

    challenge_low             CaloChallenge (arXiv:2410.21611): voxels over E_inc; MLP 3 × 2048
    challenge_low_normalised  the same network on layer-normalised voxels and layer energies
    challenge_high            the same network on the challenge's observables
    challenge_resnet          3D ResNet-18 on voxels over E_inc as images, for layers that are all alike
    caloman                   CaloMan (arXiv:2211.15380): MLP 3 × 512, early stopping
    caloflow_dnn(_normalised) CaloFlow (arXiv:2106.05285): MLP 3 × 512
    caloflow_cnn(_normalised) convolutions per layer image, for CaloGAN's voxels and the like
    caloflow_logit(_cnn)      the same two networks in the logit space of CaloFlow's density
    quick                     a small MLP of our own: half a minute, enough to see that something is wrong

A further test is one more `ClassifierTest`, given to `run_test` itself in place of a name.

CaloMan's paper states neither how its classifier's input is scaled nor its batch. Here: voxels over E_inc and
log10 E_inc, each feature brought to mean 0 and variance 1 over both samples, in batches of 1 000. Unscaled,
voxels over E_inc are so small that the early stopping ends before anything is learnt: on 8 000 Geant4 photons
a side with the voxels smeared by 15 %, all energies raised by 2 %, or the outer rings of layer 2 shuffled in
alpha, the AUC was 0.497, 0.502, 0.499 unscaled and 0.529, 0.545, 0.587 standardised (0.500 in both for
independent samples). The logarithms of `compressed` gave 0.520, 0.524, 0.557, but 0.532 instead of 0.502
where voxels below 5 MeV were raised by 10 %: `quick` uses them, since what a generator gets grossly wrong is
often faint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from caloforge.errors import CaloforgeError
from caloforge.evaluation.classifiers import features as rows
from caloforge.evaluation.classifiers.networks import CaloflowCNN, ResNet3d, caloflow_cnn_accepts, mlp
from caloforge.evaluation.classifiers.training import TrainingSettings
from caloforge.geometry import CartesianLayer, Geometry

NetworkBuilder = Callable[[Geometry, int, int], nn.Module]
"""From geometry, number of features and number of logits to an untrained network."""


@dataclass(frozen=True)
class ClassifierTest:
    """One test.

    Args:
        name: its key.
        summary: input, network and source in a line.
        features: from showers to (N, F) float32 (module `features`).
        network: builds the network.
        settings: how it is trained.
        standardise: whether features are brought to mean 0 and variance 1 over both samples.
        published_n: showers a side that are split 80 000 / 20 000 / 21 000, where the test has such a rule
            (on ds1-photons); any other number is split 60 / 20 / 20 %.
        max_showers: at most so many showers of each kind are used; None for all.
        refuses: from a geometry to the reason why it cannot be judged by this test, or None.
    """

    name: str
    summary: str
    features: rows.FeatureFunction
    network: NetworkBuilder
    settings: TrainingSettings
    standardise: bool = False
    published_n: int | None = None
    max_showers: int | None = None
    refuses: Callable[[Geometry], str | None] = lambda geometry: None

    def showers_used(self, n: int) -> int:
        """How many of `n` showers of a kind the test uses."""
        return n if self.max_showers is None else min(n, self.max_showers)

    def check(self, geometry: Geometry) -> None:
        """Refuse a geometry that the test cannot judge.

        Raises:
            CaloforgeError: with the reason.
        """
        reason = self.refuses(geometry)
        if reason is not None:
            raise CaloforgeError(
                f"the classifier test '{self.name}' {reason}; geometry '{geometry.name}' has none such: "
                "choose another test, as challenge_low"
            )


def _mlp(*hidden: int, activation: type[nn.Module] = nn.LeakyReLU) -> NetworkBuilder:
    return lambda geometry, n_in, n_out: mlp(n_in, hidden, n_out, activation)


def _caloflow_cnn(geometry: Geometry, n_features: int, n_out: int) -> nn.Module:
    return CaloflowCNN(geometry, n_features - geometry.n_voxels, n_out)


def _resnet(geometry: Geometry, n_features: int, n_out: int) -> nn.Module:
    return ResNet3d((geometry.n_layers, *geometry.layers[0].shape), n_out)


def _needs_alike_layers(geometry: Geometry) -> str | None:
    polar = not isinstance(geometry.layers[0], CartesianLayer)
    if geometry.is_regular and polar and geometry.n_layers > 1:
        return None
    return "needs several polar layers with one and the same binning (as in ds2, ds3)"


def _needs_poolable_layers(geometry: Geometry) -> str | None:
    if all(caloflow_cnn_accepts(layer.shape) for layer in geometry.layers):
        return None
    return "needs layer images of 3 × 96 voxels or with rows and columns in multiples of 6 (as in calogan)"


_CHALLENGE = TrainingSettings(learning_rate=2e-4, batch_size=1000, epochs=50)
_CHALLENGE_MLP = _mlp(2048, 2048, 2048)
_CALOFLOW = TrainingSettings(learning_rate=5e-4, batch_size=1000, epochs=60)
_CALOFLOW_CNN = TrainingSettings(learning_rate=5e-4, batch_size=1000, epochs=50, micro_batch=250)
_DS1_PHOTONS = 121_000

_ALL = (
    ClassifierTest(
        "caloman",
        "voxels / E_inc, standardised; MLP 3 × 512, early stopping (CaloMan)",
        rows.relative,
        _mlp(512, 512, 512, activation=nn.ReLU),
        TrainingSettings(learning_rate=5e-4, batch_size=1000, epochs=60, patience=10),
        standardise=True,
    ),
    ClassifierTest(
        "challenge_low",
        "voxels / E_inc; MLP 3 × 2048 (CaloChallenge)",
        rows.relative,
        _CHALLENGE_MLP,
        _CHALLENGE,
        published_n=_DS1_PHOTONS,
    ),
    ClassifierTest(
        "challenge_low_normalised",
        "voxels / E_layer and E_layer; MLP 3 × 2048 (CaloChallenge)",
        rows.normalised,
        _CHALLENGE_MLP,
        _CHALLENGE,
        published_n=_DS1_PHOTONS,
    ),
    ClassifierTest(
        "challenge_high",
        "observables; MLP 3 × 2048 (CaloChallenge)",
        rows.high_level,
        _CHALLENGE_MLP,
        _CHALLENGE,
        published_n=_DS1_PHOTONS,
    ),
    ClassifierTest(
        "challenge_resnet",
        "voxels / E_inc as images; 3D ResNet-18 (CaloChallenge)",
        rows.relative,
        _resnet,
        TrainingSettings(learning_rate=2e-4, batch_size=1000, epochs=50, micro_batch=200),
        refuses=_needs_alike_layers,
    ),
    ClassifierTest(
        "caloflow_dnn",
        "voxels and E_layer; MLP 3 × 512 (CaloFlow)",
        rows.caloflow_raw,
        _mlp(512, 512, 512),
        _CALOFLOW,
    ),
    ClassifierTest(
        "caloflow_dnn_normalised",
        "voxels / E_layer and E_layer; MLP 3 × 512 (CaloFlow)",
        rows.caloflow_normalised,
        _mlp(512, 512, 512),
        _CALOFLOW,
    ),
    ClassifierTest(
        "caloflow_cnn",
        "voxels as images and E_layer; CNN (CaloFlow)",
        rows.caloflow_raw,
        _caloflow_cnn,
        _CALOFLOW_CNN,
        refuses=_needs_poolable_layers,
    ),
    ClassifierTest(
        "caloflow_cnn_normalised",
        "voxels / E_layer as images and E_layer; CNN (CaloFlow)",
        rows.caloflow_normalised,
        _caloflow_cnn,
        _CALOFLOW_CNN,
        refuses=_needs_poolable_layers,
    ),
    ClassifierTest(
        "caloflow_logit",
        "logit of voxels / E_layer, and E_layer; MLP 3 × 512 (CaloFlow)",
        rows.caloflow_logit,
        _mlp(512, 512, 512),
        _CALOFLOW,
    ),
    ClassifierTest(
        "caloflow_logit_cnn",
        "logit of voxels / E_layer as images, and E_layer; CNN (CaloFlow)",
        rows.caloflow_logit,
        _caloflow_cnn,
        _CALOFLOW_CNN,
        refuses=_needs_poolable_layers,
    ),
    ClassifierTest(
        "quick",
        "log voxels, standardised; MLP 2 × 128, at most 20 000 showers a side (not published)",
        rows.compressed,
        _mlp(128, 128),
        TrainingSettings(learning_rate=1e-3, batch_size=500, epochs=20, patience=4),
        standardise=True,
        max_showers=20_000,
    ),
)

TESTS: Mapping[str, ClassifierTest] = MappingProxyType({test.name: test for test in _ALL})
"""Name → test."""


def get_test(test: str | ClassifierTest) -> ClassifierTest:
    """The test of that name, or the test itself.

    Raises:
        CaloforgeError: no test has this name.
    """
    if isinstance(test, ClassifierTest):
        return test
    if test not in TESTS:
        raise CaloforgeError(f"unknown classifier test '{test}'; known are {', '.join(TESTS)}")
    return TESTS[test]
