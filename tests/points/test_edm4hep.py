"""EDM4hep files: collections are joined event by event, and a simulation without positions of steps is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.points import PointFile, is_point_file, read_points

uproot = pytest.importorskip("uproot", reason="needs the extra root")

COUNTS = {"ECal": [2, 0, 3, 0], "HCal": [1, 4, 0, 0]}


def write(path: Path, positions: bool = True, status: int = 1) -> dict[str, list[np.ndarray]]:
    """Four events of two collections; branches by name, each a list of arrays."""
    import awkward

    rng = np.random.default_rng(2)
    branches: dict[str, list[np.ndarray]] = {}
    for name, counts in COUNTS.items():
        for key in ("energy", "time", "stepPosition.x", "stepPosition.y", "stepPosition.z"):
            kept = positions or not key.startswith("step")
            branches[f"{name}Contributions.{key}"] = [rng.uniform(0, 1, n).astype(np.float32) * kept for n in counts]
    primary = {"PDG": 11, "mass": 3.0, "momentum.x": 0.0, "momentum.y": 4.0, "momentum.z": 0.0}
    for key, value in {**primary, "vertex.x": 1.0, "vertex.y": 2.0, "vertex.z": 0.0}.items():
        branches[f"MCParticles.{key}"] = [np.array([0.0, value])] * 4
    branches["MCParticles.generatorStatus"] = [np.array([21.0, status])] * 4
    arrays = {key: awkward.Array(rows) for key, rows in branches.items()}
    types = {key: f"var * {rows[0].dtype}" for key, rows in branches.items()}
    with uproot.recreate(path) as file:
        tree = file.mktree("events", types, counter_name=lambda key: "n_" + key.replace(".", "_"))
        tree.extend(arrays)
    return branches


def test_points_of_all_collections_event_by_event(tmp_path: Path) -> None:
    branches = write(tmp_path / "e.root")
    assert is_point_file(tmp_path / "e.root")
    clouds = read_points(tmp_path / "e.root")
    assert clouds.names == ("x", "y", "z", "energy", "time")
    assert clouds.counts.tolist() == [3, 4, 3, 0]
    for event in range(4):
        for name, key in (("x", "stepPosition.x"), ("energy", "energy"), ("time", "time")):
            expected = np.concatenate([branches[f"{c}Contributions.{key}"][event] for c in COUNTS])
            np.testing.assert_allclose(clouds[event][name], expected * (1000 if name == "energy" else 1), rtol=1e-6)
    np.testing.assert_allclose(clouds.energies, 5000)  # √(p² + m²), GeV in the file
    np.testing.assert_allclose(clouds.conditions["theta"], np.pi / 2)
    assert set(clouds.conditions["y"]) == {2.0}


def test_chunks_are_the_whole(tmp_path: Path) -> None:
    write(tmp_path / "e.root")
    with PointFile(tmp_path / "e.root") as file:
        assert [len(chunk.points) for chunk in file.chunks(points=4)] == [3, 4, 3]


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "e.root", positions=False)
    with pytest.raises(CaloforgeError, match="all steps of ECalContributions lie at the origin"):
        read_points(tmp_path / "e.root")
    write(tmp_path / "e.root", status=0)
    with pytest.raises(CaloforgeError, match="event 0 has no particle of generator status 1"):
        read_points(tmp_path / "e.root")
    whole = (tmp_path / "e.root").read_bytes()
    (tmp_path / "e.root").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CaloforgeError, match=r"damaged|truncated") as raised:
        read_points(tmp_path / "e.root")
    assert "\n" not in str(raised.value)
