"""How good are generated showers? Observables, distances with errors and baselines, classifiers, and the report.

Everything here works from two shower files and no model.
"""
