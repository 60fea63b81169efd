"""Analytic showers, NOT Geant4: `shower_shape` has the closed forms, `electromagnetic` draws showers from them."""
