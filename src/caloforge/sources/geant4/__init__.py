"""Real showers on demand: Geant4 as an engine (`detector`, `datasets`, `download`, `application`, `workers`, `run`)."""
