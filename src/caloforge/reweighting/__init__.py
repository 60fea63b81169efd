"""Generated showers weighted by a classifier towards Geant4, or drawn by such weights."""
