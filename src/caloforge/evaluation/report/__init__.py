"""The report: every number of an evaluation as records, and what people see of them."""
