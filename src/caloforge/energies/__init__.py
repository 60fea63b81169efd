"""Incident energies: their `spectra`, with conditions (`incident`), and the `agreement` of two samples' spectra."""

from caloforge.energies.incident import Incident, IncidentLaw, draw_energies
from caloforge.energies.spectra import EnergySpectrum, outside_range, parse_spectrum

__all__ = ["EnergySpectrum", "Incident", "IncidentLaw", "draw_energies", "outside_range", "parse_spectrum"]
