"""The sections of a report: each a function of a `Comparison` that returns plain data."""
