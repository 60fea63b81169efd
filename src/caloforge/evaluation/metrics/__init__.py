"""The metrics of an evaluation: one file each, entered into the registry by `@metric`."""
