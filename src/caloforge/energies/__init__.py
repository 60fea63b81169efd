"""Incident energies: the `spectra` they are drawn from, and the `agreement` of two samples' spectra."""

from caloforge.energies.spectra import EnergySpectrum, outside_range, parse_spectrum

__all__ = ["EnergySpectrum", "outside_range", "parse_spectrum"]
