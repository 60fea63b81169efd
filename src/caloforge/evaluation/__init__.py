"""Judging showers: observables, distances with errors and floors, classifiers, and the report that shows them.

Everything here works from two shower files and no model.
"""
