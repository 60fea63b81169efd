"""Models by name: in the package and downloaded, their cards, archives and downloads."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import caloforge as cf
from caloforge.errors import CaloforgeError
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.sources.public import http
from caloforge.zoo import find_run, models
from caloforge.zoo import model_packing as packing
from caloforge.zoo.archive import FILES, install
from caloforge.zoo.model_card import Card
from caloforge.zoo.model_packing import pack
from caloforge.zoo.remote import get
from caloforge.zoo.shelf import SHIPPED, downloads
from record_server import Publisher, publishing


@pytest.fixture
def archive(small_run: Simulator, tmp_path: Path) -> Path:
    path = tmp_path / "toy.zip"
    pack(small_run, path, name="toy", description="a toy", licence="CC0-1.0", citation="nobody", trained_with="train x")
    return path


def test_the_card_tells_what_a_user_needs(small_run: Simulator, tmp_path: Path) -> None:
    pack(small_run, tmp_path / "toy", name="toy", licence="CC0-1.0", trained_with="caloforge train x -o /home/me/run")
    card = Card.read(tmp_path / "toy")
    assert (card.name, card.particle, card.detector, card.energies) == ("toy", "gamma", "toy", "100 MeV … 400 MeV")
    assert (card.geometry, card.voxels, card.layers) == ("small", 13, 3)
    assert card.training["command"] == "caloforge train x -o run"
    weights = (tmp_path / "toy" / "weights.safetensors.xz").read_bytes()
    assert card.weights_sha256 == hashlib.sha256(weights).hexdigest()
    assert "float16; a shower changes by" in card.weights
    assert dict(card.lines())["licence"] == "CC0-1.0"


def test_a_run_has_a_card_too(small_run: Simulator, tmp_path: Path) -> None:
    small_run.save(tmp_path / "run")
    card = Card.read(tmp_path / "run")
    assert (card.name, card.parameters, card.evaluation) == ("tiny", small_run.n_parameters, None)


def test_showers_that_change_too_much_are_not_rounded(
    small_run: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "TOLERANCE", 1e-12)
    card = pack(small_run, tmp_path / "toy", name="toy")
    assert card.weights.startswith("float32; a shower changes by 0 %")


def test_the_numbers_of_a_report_are_those_of_this_run(
    small_run: Simulator, small_showers: Showers, tmp_path: Path
) -> None:
    small_run.save(tmp_path / "run")
    run = Simulator.load(tmp_path / "run")
    few = small_showers[:150]
    report = cf.evaluate(run.generate(few.energies, 1), few, quick=True)
    evaluation = pack(run, tmp_path / "toy", name="toy", report=report).evaluation
    assert evaluation is not None
    assert evaluation.showers == (150, 150)
    number = next(number for number in evaluation.numbers if "mean separation power" in number.label.lower())
    wanted = report["mean_separation_power", "all"].estimate
    assert wanted is not None
    assert (number.value, number.baseline) == (wanted.compared, wanted.baseline)
    report.about = dataclasses.replace(
        report.about, generated=dataclasses.replace(report.about.generated, attributes={})
    )
    with pytest.raises(CaloforgeError, match="the report evaluates showers of other weights"):
        pack(run, tmp_path / "other", name="toy", report=report)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-x", "x" * 101, "ümlaut"])
def test_a_name_is_a_plain_word(small_run: Simulator, tmp_path: Path, name: str) -> None:
    with pytest.raises(CaloforgeError, match="not a valid name of a model"):
        pack(small_run, tmp_path / "toy", name=name)


# Names


def test_an_installed_model_is_found_by_its_name(archive: Path, small_run: Simulator) -> None:
    assert "toy" not in models()
    folder = install(archive, downloads())
    assert models()["toy"] == folder == find_run("toy")
    showers = cf.load("toy").generate([100.0, 200.0], seed=1)
    assert showers.attributes["model"] == "toy"
    assert showers.geometry == small_run.geometry


def test_a_folder_is_preferred_to_a_model(
    archive: Path, small_run: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(archive, downloads())
    small_run.save(tmp_path / "here" / "toy")
    monkeypatch.chdir(tmp_path / "here")
    assert find_run("toy") == Path("toy")


def test_an_unknown_name_lists_the_known_ones(archive: Path, tmp_path: Path) -> None:
    install(archive, downloads())
    with pytest.raises(CaloforgeError, match=r"no run and no model 'toi': did you mean toy\? models are .*toy"):
        cf.load("toi")
    with pytest.raises(CaloforgeError, match="no such run"):
        cf.load(tmp_path / "toi")
    with pytest.raises(CaloforgeError, match="run"):
        cf.load(3)  # type: ignore[arg-type]


def test_without_a_home_the_shipped_models_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALOFORGE_MODELS")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", _no_home)
    assert set(models()) == {path.name for path in SHIPPED.iterdir()} if SHIPPED.is_dir() else True
    with pytest.raises(CaloforgeError, match="set CALOFORGE_MODELS"):
        downloads()


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


# Archives


def test_an_archive_depends_on_its_content_alone(archive: Path, small_run: Simulator, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"description": "a toy", "licence": "CC0-1.0", "citation": "nobody"}
    pack(small_run, tmp_path / "again.zip", name="toy", trained_with="train x", **settings)
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_an_installed_model_is_replaced_only_if_asked(archive: Path) -> None:
    install(archive, downloads())
    with pytest.raises(CaloforgeError, match=r"'toy' is in .* already: overwrite=True replaces it"):
        install(archive, downloads())
    install(archive, downloads(), overwrite=True)


def _changed(archive: Path, target: Path, **contents: bytes) -> Path:
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        files = {name: old.read(name) for name in FILES} | {k.replace("__", "."): v for k, v in contents.items()}
        for name, content in files.items():
            new.writestr(name, content)
    return target


def _with_damaged_stream(archive: Path, target: Path) -> Path:
    """The archive, compressed, with an impossible first block of its first file."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in FILES:
            new.writestr(name, old.read(name))
    content = bytearray(target.read_bytes())
    start = content.index(FILES[0].encode()) + len(FILES[0])
    content[start : start + 8] = b"\xff" * 8
    target.write_bytes(content)
    return target


def test_what_is_no_packed_model_is_one_line(archive: Path, tmp_path: Path) -> None:
    card = json.loads(zipfile.ZipFile(archive).read("card.json"))
    climbing = json.dumps({**card, "name": "../out"}).encode()
    cases = {
        "no such archive": tmp_path / "nothing.zip",
        "damaged": tmp_path / "text.zip",
        "and nothing else": _changed(archive, tmp_path / "more.zip", other__txt=b"x"),
        "not a valid name": _changed(archive, tmp_path / "climbing.zip", card__json=climbing),
        "card.json is not valid JSON": _changed(archive, tmp_path / "card.zip", card__json=b"{"),
        "weights are not those": _changed(archive, tmp_path / "described.zip", simulator__json=b"{}"),
    }
    (tmp_path / "text.zip").write_text("no archive")
    cases["is not a packed model, or is damaged"] = _with_damaged_stream(archive, tmp_path / "stream.zip")
    for message, path in cases.items():
        with pytest.raises(CaloforgeError, match=message) as error:
            install(path, downloads())
        assert "\n" not in str(error.value)
    assert not downloads().exists() or not any(downloads().iterdir())


# Downloads

DOI = "10.5281/zenodo.8099322"


@pytest.fixture
def publisher(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setattr(http, "sleep", lambda seconds: None)
    with publishing() as server:
        server.files = {"toy.zip": archive.read_bytes(), "notes.txt": b"read me"}
        server.described = dict(server.files)
        monkeypatch.setenv("CALOFORGE_RECORDS_URL", f"{server.url}/api/records")
        yield server


def test_a_model_is_downloaded_and_its_archive_removed(publisher: Publisher) -> None:
    folder = get(DOI)
    assert folder == downloads() / "toy"
    assert [path.name for path in downloads().iterdir()] == ["toy"]
    assert len(cf.load("toy").generate([100.0], seed=1)) == 1


def test_a_download_that_broke_off_is_resumed(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TRIES", 1)
    monkeypatch.setattr(http, "CHUNK", 500)
    publisher.cuts = [1000]
    with pytest.raises(CaloforgeError, match="broke off after 1000 of"):
        get(DOI)
    assert get(DOI).name == "toy"
    assert publisher.file_requests[-1] == ("toy.zip", "bytes=1000-")


def test_a_wrong_checksum_is_refused(publisher: Publisher) -> None:
    publisher.files["toy.zip"] = publisher.files["toy.zip"][:-1] + b"x"
    with pytest.raises(CaloforgeError, match="checksum"):
        get(DOI)
    assert "toy" not in models()


def test_records_without_a_model_or_with_several(publisher: Publisher) -> None:
    publisher.files["other.zip"] = publisher.described["other.zip"] = publisher.files["toy.zip"]
    with pytest.raises(CaloforgeError, match=r"give file=…, one of the archives of .*: toy.zip, other.zip"):
        get(DOI)
    assert get(DOI, file="other.zip").name == "toy"
    publisher.described = {"notes.txt": b"read me"}
    with pytest.raises(CaloforgeError, match=r"has no packed model; its files are notes\.txt"):
        get(DOI)


def test_what_cannot_be_downloaded_names_what_is_known(archive: Path) -> None:
    install(archive, downloads())
    with pytest.raises(CaloforgeError, match=r"no model 'nothing' to download: give the DOI .*known: .*toy"):
        get("nothing")
