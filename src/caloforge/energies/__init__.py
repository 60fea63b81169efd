"""Incident energies: `laws` from which they are drawn, and `agreement` of the spectra of two samples."""

from caloforge.energies.laws import EnergySpectrum, outside_range, parse_spectrum

__all__ = ["EnergySpectrum", "outside_range", "parse_spectrum"]
