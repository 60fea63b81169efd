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
    everything                MLP 3 × 512 on the challenge's observables and logarithms of voxels together

A further test is one more `NetworkTest`, registered (`base.register`) or given to `run_test` in place of a name.

CaloMan's paper states neither how its classifier's input is scaled nor its batch. Here: voxels over E_inc and
log10 E_inc, each feature brought to mean 0 and variance 1 over both samples, in batches of 1 000. Unscaled,
voxels over E_inc are so small that the early stopping ends before anything is learnt: on 8 000 Geant4 photons
per sample with the voxels smeared by 15 %, all energies raised by 2 %, or the outer rings of layer 2 shuffled in
alpha, the AUC was 0.497, 0.502, 0.499 unscaled and 0.529, 0.545, 0.587 standardised (0.500 in both for
independent samples). The logarithms of `compressed` gave 0.520, 0.524, 0.557, but 0.532 instead of 0.502
where voxels below 5 MeV were raised by 10 %: `quick` uses them, since what a generator gets grossly wrong is
often faint.
"""

from __future__ import annotations

from torch import nn

from caloforge.classifiers import features as rows
from caloforge.classifiers.architectures import CaloflowCNN, ResNet3d, caloflow_cnn_accepts
from caloforge.classifiers.base import register
from caloforge.classifiers.fitting import ClassifierSettings
from caloforge.classifiers.network_test import NetworkBuilder, NetworkTest
from caloforge.geometry import CartesianLayer, Geometry
from caloforge.networks.residual import mlp


def _mlp(*hidden: int, activation: type[nn.Module] = nn.LeakyReLU) -> NetworkBuilder:
    return lambda geometry, n_in, n_out: mlp([n_in, *hidden, n_out], activation)


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


_CHALLENGE = ClassifierSettings(learning_rate=2e-4, batch_size=1000, epochs=50)
_CHALLENGE_MLP = _mlp(2048, 2048, 2048)
_CALOFLOW = ClassifierSettings(learning_rate=5e-4, batch_size=1000, epochs=60)
_CALOFLOW_CNN = ClassifierSettings(learning_rate=5e-4, batch_size=1000, epochs=50, micro_batch=250)
_DS1_PHOTONS = 121_000

_ALL = (
    NetworkTest(
        "caloman",
        "CaloMan",
        "voxels / E_inc, standardised; MLP 3 × 512, early stopping (CaloMan)",
        rows.relative,
        _mlp(512, 512, 512, activation=nn.ReLU),
        ClassifierSettings(learning_rate=5e-4, batch_size=1000, epochs=60, patience=10),
        standardise=True,
    ),
    NetworkTest(
        "challenge_low",
        "challenge, voxels",
        "voxels / E_inc; MLP 3 × 2048 (CaloChallenge)",
        rows.relative,
        _CHALLENGE_MLP,
        _CHALLENGE,
        published_n=_DS1_PHOTONS,
    ),
    NetworkTest(
        "challenge_low_normalised",
        "challenge, voxels normalised per layer",
        "voxels / E_layer and E_layer; MLP 3 × 2048 (CaloChallenge)",
        rows.normalised,
        _CHALLENGE_MLP,
        _CHALLENGE,
        published_n=_DS1_PHOTONS,
    ),
    NetworkTest(
        "challenge_high",
        "challenge, high-level features",
        "observables; MLP 3 × 2048 (CaloChallenge)",
        rows.high_level,
        _CHALLENGE_MLP,
        _CHALLENGE,
        published_n=_DS1_PHOTONS,
    ),
    NetworkTest(
        "challenge_resnet",
        "challenge, 3D ResNet-18",
        "voxels / E_inc as images; 3D ResNet-18 (CaloChallenge)",
        rows.relative,
        _resnet,
        ClassifierSettings(learning_rate=2e-4, batch_size=1000, epochs=50, micro_batch=200),
        unsuitable=_needs_alike_layers,
    ),
    NetworkTest(
        "caloflow_dnn",
        "CaloFlow DNN",
        "voxels and E_layer; MLP 3 × 512 (CaloFlow)",
        rows.caloflow_raw,
        _mlp(512, 512, 512),
        _CALOFLOW,
    ),
    NetworkTest(
        "caloflow_dnn_normalised",
        "CaloFlow DNN, normalised per layer",
        "voxels / E_layer and E_layer; MLP 3 × 512 (CaloFlow)",
        rows.caloflow_normalised,
        _mlp(512, 512, 512),
        _CALOFLOW,
    ),
    NetworkTest(
        "caloflow_cnn",
        "CaloFlow CNN",
        "voxels as images and E_layer; CNN (CaloFlow)",
        rows.caloflow_raw,
        _caloflow_cnn,
        _CALOFLOW_CNN,
        unsuitable=_needs_poolable_layers,
    ),
    NetworkTest(
        "caloflow_cnn_normalised",
        "CaloFlow CNN, normalised per layer",
        "voxels / E_layer as images and E_layer; CNN (CaloFlow)",
        rows.caloflow_normalised,
        _caloflow_cnn,
        _CALOFLOW_CNN,
        unsuitable=_needs_poolable_layers,
    ),
    NetworkTest(
        "caloflow_logit",
        "CaloFlow DNN, logit space",
        "logit of voxels / E_layer, and E_layer; MLP 3 × 512 (CaloFlow)",
        rows.caloflow_logit,
        _mlp(512, 512, 512),
        _CALOFLOW,
    ),
    NetworkTest(
        "caloflow_logit_cnn",
        "CaloFlow CNN, logit space",
        "logit of voxels / E_layer as images, and E_layer; CNN (CaloFlow)",
        rows.caloflow_logit,
        _caloflow_cnn,
        _CALOFLOW_CNN,
        unsuitable=_needs_poolable_layers,
    ),
    NetworkTest(
        "quick",
        "quick (small MLP)",
        "log voxels, standardised; MLP 2 × 128, at most 20 000 showers per sample (not published)",
        rows.compressed,
        _mlp(128, 128),
        ClassifierSettings(learning_rate=1e-3, batch_size=500, epochs=20, patience=4),
        standardise=True,
        max_showers=20_000,
    ),
    NetworkTest(
        "everything",
        "observables and voxels",
        "the challenge's observables and log voxels, standardised; MLP 3 × 512, early stopping (not published)",
        rows.everything,
        _mlp(512, 512, 512, activation=nn.ReLU),
        ClassifierSettings(learning_rate=5e-4, batch_size=1000, epochs=60, patience=10),
        standardise=True,
    ),
)

for _test in _ALL:
    register(_test)
