"""Finding Geant4's data sets, saying what is missing, and fetching them from a server on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from caloforge.errors import CaloforgeError
from caloforge.sources.geant4 import datasets
from caloforge.sources.geant4.datasets import DATA_SETS, FoundData, Geant4DataSet, find_data, physics_list_for
from caloforge.sources.geant4.fetch_data import download
from caloforge.sources.geant4.request import binding_version


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "table").write_text("1 2 3")
    return folder


def emlow(root: Path, model: str = "livermore", elements: tuple[int, ...] = (18, 82)) -> Path:
    """A G4EMLOW with the files that tell which tables it has."""
    folder = root / "G4EMLOW8.8"
    fill(folder / "brem_SB")
    for z in elements:
        (folder / "brem_SB" / f"br{z}").write_text("")
    if model == "livermore":
        fill(folder / "livermore" / "phot_epics2014")
        fill(folder / "livermore" / "rayl")
    elif model == "epics_2017":
        fill(folder / "epics2017" / "phot")
        fill(folder / "epics2017" / "rayl")
    return folder


@pytest.fixture(autouse=True)
def _no_own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets, "USUAL_FOLDER", tmp_path / "usual")


def test_a_reduced_folder(tmp_path: Path) -> None:
    emlow(tmp_path / "d")
    fill(tmp_path / "d" / "G4ENSDFSTATE3.0")
    found = find_data(tmp_path / "d")
    found.require("G4EmStandardPhysics")
    assert found.elements == {18, 82}
    assert found.em_commands() == ("/process/em/LivermoreData livermore",)
    assert found.describe() == (
        "G4EMLOW8.8, G4ENSDFSTATE3.0; photoelectric and Rayleigh tables livermore; 2 elements only (reduced)"
    )
    environment = found.environment("/empty")
    assert set(environment) == {d.variable for d in DATA_SETS} | {"CI"}
    assert environment["CI"] == ""
    assert environment["G4LEDATA"] == str(tmp_path / "d" / "G4EMLOW8.8")
    assert environment["G4PARTICLEXSDATA"] == "/empty"


def test_a_full_installation_needs_no_command(tmp_path: Path) -> None:
    root = tmp_path / "geant4" / "share" / "Geant4" / "data"
    emlow(root, "epics_2017", tuple(range(1, 101)))
    fill(root / "G4ENSDFSTATE3.0")
    found = find_data(tmp_path / "geant4")
    found.require("G4EmStandardPhysics")
    assert found.em_commands() == ()
    assert found.describe().endswith("tables epics_2017; 100 elements")


def test_variables_come_before_folders(tmp_path: Path) -> None:
    ours = emlow(tmp_path / "ours")
    emlow(tmp_path / "all")
    fill(tmp_path / "all" / "G4ENSDFSTATE3.0")
    fill(tmp_path / "usual" / "G4PARTICLEXS4.2")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {
        "GEANT4_DATA_DIR": str(tmp_path / "all"),
        "G4LEDATA": str(ours),
        "G4ENSDFSTATEDATA": str(empty),  # a variable that points to nothing counts for nothing
    }
    found = find_data(None, environment)
    assert found.folders == {
        "G4LEDATA": str(ours),
        "G4ENSDFSTATEDATA": str(tmp_path / "all" / "G4ENSDFSTATE3.0"),
        "G4PARTICLEXSDATA": str(tmp_path / "usual" / "G4PARTICLEXS4.2"),
    }


def test_what_is_missing_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match=r"data sets G4EMLOW8\.8 \(G4LEDATA\), G4ENSDFSTATE3\.0") as caught:
        find_data(None, {}).require("G4EmStandardPhysics")
    assert "give their folder to find_data or in the environment variable GEANT4_DATA_DIR" in str(caught.value)
    assert "\n" not in str(caught.value)
    emlow(tmp_path / "d")
    fill(tmp_path / "d" / "G4ENSDFSTATE3.0")
    with pytest.raises(CaloforgeError, match=r"FTFP_BERT needs .* PhotonEvaporation6\.1\.2 .* G4PARTICLEXS4\.2"):
        find_data(tmp_path / "d").require("FTFP_BERT")
    with pytest.raises(CaloforgeError, match="is not a directory"):
        find_data(tmp_path / "nowhere")


def test_an_emlow_without_usable_tables(tmp_path: Path) -> None:
    emlow(tmp_path / "d", "none")
    fill(tmp_path / "d" / "G4ENSDFSTATE3.0")
    with pytest.raises(CaloforgeError, match=r"Geant4 11\.4 cannot use this G4EMLOW"):
        find_data(tmp_path / "d").require("G4EmStandardPhysics")


def test_particles_and_their_physics() -> None:
    assert physics_list_for("gamma") == physics_list_for("e+") == "G4EmStandardPhysics"
    assert physics_list_for("pi-") == "FTFP_BERT"
    with pytest.raises(CaloforgeError, match="unknown particle 'tachyon': give one of e-, e\\+, gamma, pi\\+"):
        physics_list_for("tachyon")


def test_archives_are_called_as_on_the_site() -> None:
    names = {d.archive for d in DATA_SETS}
    assert {"G4EMLOW.8.8.tar.gz", "G4PhotonEvaporation.6.1.2.tar.gz", "G4RealSurface.2.2.tar.gz"} <= names


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which a local server offers it."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def publish(folder: Path, inside: str) -> Geant4DataSet:
    """Put an archive with one file at `inside` on the site; its description."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(inside)
        member.size = 5
        tar.addfile(member, io.BytesIO(b"1 2 3"))
    content = buffer.getvalue()
    data_set = Geant4DataSet("G4TOY", "1.0", "G4TOYDATA", hashlib.md5(content, usedforsecurity=False).hexdigest())
    (folder / data_set.archive).write_bytes(content)
    return data_set


def test_download_unpacks_and_reports(site: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = site
    data_set = publish(folder, "G4TOY1.0/sub/table")
    heard: list[tuple[str, int, int]] = []
    download([data_set], tmp_path / "data", lambda *told: heard.append(told), address)
    assert (tmp_path / "data" / "G4TOY1.0" / "sub" / "table").read_text() == "1 2 3"
    size = (folder / data_set.archive).stat().st_size
    assert heard[-1] == ("G4TOY.1.0.tar.gz", size, size)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["G4TOY1.0"]


def test_download_refuses_what_is_not_as_published(site: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = site
    target = tmp_path / "data"
    data_set = publish(folder, "G4TOY1.0/table")
    wrong = Geant4DataSet(data_set.name, data_set.version, data_set.variable, "0" * 32)
    with pytest.raises(CaloforgeError, match=f"{data_set.md5} instead of {'0' * 32}"):
        download([wrong], target, site=address)
    with pytest.raises(CaloforgeError, match=r"cannot reach .*G4OTHER\.1\.0\.tar\.gz"):
        download([Geant4DataSet("G4OTHER", "1.0", "X", "")], target, site=address)
    with pytest.raises(CaloforgeError, match=r"does not contain the folder G4TOY1\.0"):
        download([publish(folder, "elsewhere/table")], target, site=address)
    with pytest.raises(CaloforgeError, match="cannot unpack"):
        download([publish(folder, "../../escape")], target, site=address)
    assert not (target / "G4TOY1.0").exists()
    assert not list(tmp_path.rglob("escape"))


def test_without_geant4_pybind_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CaloforgeError, match=r"pip install 'caloforge\[geant4\]'"):
        binding_version()


def test_without_any_data_each_needed_set_is_missing() -> None:
    missing = FoundData({}, "nowhere").missing("G4EmStandardPhysics")
    assert [d.name for d in missing] == ["G4EMLOW", "G4ENSDFSTATE"]
