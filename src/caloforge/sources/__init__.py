"""Where showers come from: public data sets (`catalog`), analytic showers, Geant4 and the embedded sample."""
