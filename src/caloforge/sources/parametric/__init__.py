"""Analytic showers, NOT Geant4: `shower_shape` has the formulae, `electromagnetic` draws showers from them."""
