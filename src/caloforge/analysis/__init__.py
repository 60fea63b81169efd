"""Analysis of shower samples without a model: `contents` of a file, `shower_dimension`."""
