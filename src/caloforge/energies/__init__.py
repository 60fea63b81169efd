"""Incident energies: the `spectra` they are drawn from, and the `agreement` between the spectra of two samples."""

from caloforge.energies.spectra import EnergySpectrum, outside_range, parse_spectrum

__all__ = ["EnergySpectrum", "outside_range", "parse_spectrum"]
