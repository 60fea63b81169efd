"""Options of earlier versions and their replacements."""

from __future__ import annotations

INSTEAD = {
    ("generate", "--sampler"): "use --set model.sampler=VALUE",
    ("generate", "--steps"): "use --set model.steps=VALUE",
    ("generate", "--snr"): "use --set model.snr=VALUE",
    ("benchmark", "--against"): "use the command caloforge benchmark-geant4",
    ("benchmark", "--detector"): "it is now an option of caloforge benchmark-geant4",
    ("benchmark", "--particle"): "it is now an option of caloforge benchmark-geant4",
    ("benchmark", "--geant4-data"): "it is now an option of caloforge benchmark-geant4",
    ("benchmark", "--peer"): "use --reference",
    ("benchmark", "--peer-path"): "use --reference-path",
    **{(command, "--output"): "use --out" for command in ("geant4", "parametric", "get", "dimension")},
}
"""(command, removed option) → remedy."""


def instead_of(command: str, option: str) -> str | None:
    """Replacement for `option`, which `caloforge COMMAND` no longer has; None if it never had it."""
    return INSTEAD.get((command.rpartition(" ")[2], option))
