"""Showers simulated with Geant4: `detector` describes the calorimeter, `simulation` writes the file."""
