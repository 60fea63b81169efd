"""Numbers about a sample of showers, without a model: `contents` of a file, `shower_dimension`."""
