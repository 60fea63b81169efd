"""Where showers come from: `public` data sets, `parametric` showers, `geant4`, and the embedded `sample`."""
