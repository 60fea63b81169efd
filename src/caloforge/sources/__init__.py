"""Sources of showers: `public` data sets, `parametric` showers, `geant4`, and the embedded `sample`."""
