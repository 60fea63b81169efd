"""How observables and classifier tests are called in figures and tables.

An observable's name is `family` or `family_<layer>` (`ec_eta_12`); the label spells the quantity, its layer and
its unit: energies MeV, lengths mm.
"""

from __future__ import annotations

import re

_FAMILIES: dict[str, tuple[str, str, str]] = {
    # family: (plain text, mathtext, unit)
    "e_tot_over_e_inc": ("E_dep / E_inc", r"$E_{dep}\,/\,E_{inc}$", ""),
    "voxel_energy": ("voxel energy", "voxel energy", "MeV"),
    "e_layer": ("energy", "E", "MeV"),
    "fraction_layer": ("energy fraction", r"$E\,/\,E_{dep}$", ""),
    "ec_eta": ("centre of energy in eta", "centre of energy in η", "mm"),
    "ec_phi": ("centre of energy in phi", "centre of energy in φ", "mm"),
    "ec_r": ("centre of energy in r", "centre of energy in r", "mm"),
    "width_eta": ("width in eta", "width in η", "mm"),
    "width_phi": ("width in phi", "width in φ", "mm"),
    "width_r": ("width in r", "width in r", "mm"),
    "sparsity": ("sparsity", "sparsity", ""),
    "occupancy": ("occupancy", "occupancy", ""),
    "n_hits": ("number of hits", "number of hits", ""),
    "max_voxel_fraction": ("largest voxel / E_dep", r"largest voxel $/\,E_{dep}$", ""),
    "brightest": ("brightest voxel / E", "brightest voxel / E", ""),
    "second_brightest": ("second-brightest voxel / E", "second-brightest voxel / E", ""),
    "e_ratio": ("E_ratio", "$E_{ratio}$", ""),
    "l_d": ("depth-weighted energy l_d", "$l_d$", "MeV"),
    "s_d": ("shower depth s_d", "$s_d$", ""),
    "sigma_s_d": ("shower depth width", r"$\sigma_{s_d}$", ""),
    "mean_x": ("mean x", "mean x", "mm"),
    "mean_y": ("mean y", "mean y", "mm"),
    "mean_z": ("mean z", "mean z", ""),
}

FAMILY_ORDER = tuple(_FAMILIES)
"""The order in which families stand in the report."""

_LAYERED = re.compile(r"(.+)_(-?\d+)")

_TESTS = {
    "caloman": "CaloMan",
    "challenge_low": "challenge, voxels",
    "challenge_low_normalised": "challenge, voxels normalised per layer",
    "challenge_high": "challenge, high-level features",
    "challenge_resnet": "challenge, 3D ResNet-18",
    "caloflow_dnn": "CaloFlow DNN",
    "caloflow_dnn_normalised": "CaloFlow DNN, normalised per layer",
    "caloflow_cnn": "CaloFlow CNN",
    "caloflow_logit": "CaloFlow DNN, logit space",
    "quick": "quick (small MLP)",
}


def split_name(name: str) -> tuple[str, int | None]:
    """(family, layer) of an observable's name; the layer is None for one of the whole shower."""
    match = _LAYERED.fullmatch(name)
    if match is None or name in _FAMILIES:
        return name, None
    return match.group(1), int(match.group(2))


def describe(name: str) -> str:
    """Plain words for tables, as in `centre of energy in eta, layer 12`."""
    family, layer = split_name(name)
    words = _FAMILIES.get(family, (family.replace("_", " "), "", ""))[0]
    return words if layer is None else f"{words}, layer {layer}"


def axis_label(name: str) -> str:
    """Label of a figure's axis, with mathtext and the unit, as in `width in r, layer 2 [mm]`."""
    family, layer = split_name(name)
    plain = family.replace("_", " ")
    _, words, unit = _FAMILIES.get(family, (plain, plain, ""))
    text = words if layer is None else f"{words}, layer {layer}"
    return f"{text} [{unit}]" if unit else text


def classifier_title(name: str) -> str:
    """Words for a classifier test's key."""
    return _TESTS.get(name, name.replace("_", " "))
