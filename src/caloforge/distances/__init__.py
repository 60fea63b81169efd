"""Distances between two samples: pure functions of arrays."""
