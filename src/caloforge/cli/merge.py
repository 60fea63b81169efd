"""`caloforge merge`: concatenate shards, or any files of one geometry."""

from __future__ import annotations

from pathlib import Path

import typer

WORTH_SAYING = (
    "cell_pitch_mm",
    "detector",
    "engine",
    "hit_threshold_mev",
    "particle",
    "recipe",
    "source",
    "weights_sha256",
)
"""Attributes that are equal in all files of one sample."""


def merge(
    files: list[Path] = typer.Argument(..., help="Shower files, or folders that `generate --shards` wrote."),
    out: Path = typer.Option(..., "--out", "-o", help="HDF5 file to write."),
    incomplete: bool = typer.Option(False, "--incomplete", help="Merge even if shards are missing."),
    compression: int = typer.Option(1, "--compression", min=0, max=9, help="gzip level; 0 is the fastest to write."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
) -> None:
    """Concatenate files of showers, voxels or points, in bounded memory.

    Shards are sorted by their number, whatever the order of the arguments; a
    missing, repeated or foreign shard is an error. Other files are merged in the
    order given, with a warning if their engine, weights or source differ.

    Example: caloforge merge shards -o generated.h5
    """
    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.files import prepare_parent, real, refuse_existing
    from caloforge.representation import open_file
    from caloforge.simulator.shards import merge as run_merge

    prepare_parent(out)
    refuse_existing(out, overwrite)
    found: list[Path] = []
    for file in files:
        inside = sorted(file.glob("shard-*.h5")) if file.is_dir() else [file]
        if not inside:
            raise CaloforgeError(
                f"{file} contains no shards (shard-*.h5); give the folder of `generate --shards`, or files"
            )
        found += inside
    if real(out) in {real(file) for file in found}:
        raise CaloforgeError(f"{out} is one of the files to merge; write to another file")
    total, facts = 0, []
    for file in found:
        with open_file(file) as showers:
            total += len(showers)
            facts.append({key: str(showers.attributes.get(key)) for key in WORTH_SAYING})
    with progress_bar() as bar:
        task = bar.add_task("merge", total=total, unit="showers", remark="")
        run_merge(
            found,
            out,
            compression=compression,
            incomplete=incomplete,
            progress=lambda done: bar.advance(task, done),
        )
    differing = [key for key in WORTH_SAYING if len({known[key] for known in facts}) > 1]
    if differing:
        stderr.print(f"warning: the files differ in {', '.join(differing)}; {out} does not record these", markup=False)
    stdout.print(f"wrote {out}: {total:,} showers from {len(found)} files", markup=False)
