"""Two files of showers, made comparable and read once: what the metrics work on."""
