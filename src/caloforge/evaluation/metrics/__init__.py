"""The metrics of an evaluation: one file each, entered into the registry by `@metric`.

`caloforge.evaluation.evaluate` imports them in the order in which reports list them. The classifier tests and the
numbers per incident energy are not in the registry: they run where they are asked for.
"""
