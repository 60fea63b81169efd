"""The catalogue of public data, against a record served by a local HTTP server."""

import hashlib
import json
import socket

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from caloforge import cli
from caloforge.cli.data import app
from caloforge.errors import CaloforgeError
from caloforge.geometry import load_geometry
from caloforge.showers import ShowerFile, Showers
from caloforge.sources.public import catalog, http
from caloforge.sources.public import record as records
from record_server import CONTENT, REFERENCE, TRAIN, contents, free_port, only

# --- what is in the catalogue


@pytest.mark.parametrize(
    ("name", "voxels", "record", "files"),
    [
        ("ds1-photons", 368, "8099322", 2),
        ("ds1-pions", 533, "8099322", 2),
        ("ds2", 6480, "6366270", 2),
        ("ds3", 40500, "6366323", 4),
    ],
)
def test_entries(name, voxels, record, files):
    entry = catalog.find(name)
    assert entry.load_geometry().n_voxels == voxels
    assert catalog.record_of(entry.doi) == record
    assert len(set(entry.files)) == files
    assert not set(entry.train) & set(entry.reference)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(CaloforgeError, match=r"'ds9'.*ds1-photons, ds1-pions, ds2, ds3"):
        catalog.find("ds9")


MINE = {
    "name": "mine",
    "particle": "muon",
    "geometry": "voxels.yaml",
    "energies": "1 GeV",
    "showers": 5,
    "doi": "10.5281/zenodo.8099322",
    "train": ["binning.xml"],
}
VOXELS = {"name": "tiles", "layers": [{"id": 0, "phi_edges": [0, 1, 2], "eta_edges": [0, 1]}]}


def described(folder, **changes):
    """A data set of one's own: its file, with a geometry next to it."""
    (folder / "voxels.yaml").write_text(yaml.safe_dump(VOXELS))
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**MINE, **changes}.items() if v is not None}))
    return path


def test_a_new_data_set_is_one_file_outside_the_package(publisher, tmp_path, capsys):
    """Listed and fetched by the commands, though caloforge has never heard of it."""
    path = described(tmp_path)
    app(["list", str(path)], standalone_mode=False)
    out, _ = capsys.readouterr()
    assert "tiles: 2 voxels in 1 layer" in out
    assert "https://doi.org/10.5281/zenodo.8099322" in out
    assert "ds2" not in out
    app(["get", str(path), "-o", str(tmp_path / "data")], standalone_mode=False)
    assert contents(tmp_path / "data") == only("binning.xml")
    assert capsys.readouterr().out == f"{tmp_path / 'data' / 'binning.xml'}\n"


def test_a_data_set_may_name_another_publisher(publisher, tmp_path, monkeypatch):
    monkeypatch.delenv(records.RECORDS_VARIABLE)
    records.get(described(tmp_path, records_url=f"{publisher.url}/api/records/"), tmp_path / "data")
    assert contents(tmp_path / "data") == only("binning.xml")


def test_a_new_data_set_from_python(publisher, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "DATA_SETS", dict(catalog.DATA_SETS))
    mine = catalog.DataSet(**{**MINE, "geometry": VOXELS})
    catalog.register(mine)
    catalog.register(mine)
    records.get("mine", tmp_path)
    assert contents(tmp_path) == only("binning.xml")
    assert catalog.find("mine").load_geometry().n_voxels == 2
    with pytest.raises(CaloforgeError, match="'mine'"):
        catalog.register(catalog.DataSet(**{**MINE, "showers": 6}))


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"doi": "zenodo"}, ["'doi' is 'zenodo'"]),
        ({"doi": None}, ["missing key 'doi'"]),
        ({"train": "a.h5"}, ["'train' is 'a.h5'"]),
        ({"showers": 0}, ["'showers' is 0"]),
        ({"shower": 3}, ["unknown key 'shower'"]),
        ({"path": "/"}, ["unknown key 'path'"]),
    ],
)
def test_what_a_description_may_not_say(tmp_path, changes, facts):
    path = described(tmp_path, **changes)
    with pytest.raises(CaloforgeError) as caught:
        catalog.find(path)
    assert all(fact in str(caught.value) for fact in (str(path), *facts)), caught.value


def test_descriptions_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    for name in ("absent.yaml", "broken.yaml", "list.yaml"):
        with pytest.raises(CaloforgeError, match=name) as caught:
            catalog.find(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(CaloforgeError, match=r"no such geometry file"):
        catalog.find(described(tmp_path, geometry="none.yaml")).load_geometry()


# --- the good path


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ("all", (TRAIN, REFERENCE)),
        ("train", (TRAIN,)),
        ("reference", (REFERENCE,)),
        (REFERENCE, (REFERENCE,)),
        ("binning.xml", ("binning.xml",)),
    ],
)
def test_get(publisher, tmp_path, files, names):
    paths = records.get("ds1-photons", tmp_path / "new" / "folder", files)
    assert paths == [tmp_path / "new" / "folder" / name for name in names]
    assert contents(tmp_path / "new" / "folder") == only(*names)
    assert publisher.file_requests == [(name, None) for name in names]


def test_progress_ends_at_the_size_of_each_file(publisher, tmp_path):
    seen = []
    records.get("ds1-photons", tmp_path, progress=lambda file, done: seen.append((file.name, done)))
    for name in (TRAIN, REFERENCE):
        steps = [done for told, done in seen if told == name]
        assert steps[0] == 0
        assert steps == sorted(steps)
        assert steps[-1] == len(CONTENT[name])


def test_moved_record_is_followed(publisher, tmp_path):
    publisher.moved = True
    records.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    assert [path for path, _ in publisher.asked[:2]] == ["/api/records/8099322", "/api/records/9000000"]


def test_files_already_here_are_not_fetched_again(publisher, tmp_path):
    records.get("ds1-photons", tmp_path, "train")
    publisher.asked.clear()
    records.get("ds1-photons", tmp_path)
    assert publisher.file_requests == [(REFERENCE, None)]
    assert contents(tmp_path) == only(TRAIN, REFERENCE)


def test_other_checksums_than_md5(publisher, tmp_path):
    publisher.record = json.loads(publisher.json())
    publisher.record["files"][0]["checksum"] = "sha256:" + hashlib.sha256(CONTENT[TRAIN]).hexdigest().upper()
    records.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)


# --- records that cannot be had: one line


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([(404, {})], "answers 404 Not Found for http.*8099322"),
        ([(403, {})], "answers 403 Forbidden"),
        ([None, (404, {})], "answers 404 Not Found for http.*content"),
        ([(503, {})] * 9, "answers 503 Service Unavailable; check the network"),
        ([(200, {})], "is not valid JSON"),
        ([(302, {"Location": "/api/records/8099322"})] * 99, "Exceeded 30 redirects"),
    ],
)
def test_refusals(publisher, tmp_path, answers, message):
    publisher.answers = answers
    with pytest.raises(CaloforgeError, match=message) as raised:
        records.get("ds1-photons", tmp_path / "new", "train")
    assert "\n" not in str(raised.value)
    assert TRAIN not in contents(tmp_path / "new")


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"entries": []},
        {"files": [{"key": TRAIN}]},
        {"files": [{"key": TRAIN, "size": "big", "checksum": "md5:0", "links": {"self": "x"}}]},
        {"files": [{"key": TRAIN, "size": 1, "checksum": "crc7:0", "links": {"self": "x"}}]},
        {"files": [{"key": TRAIN, "size": 1, "checksum": None, "links": {"self": "x"}}]},
    ],
)
def test_malformed_record(publisher, tmp_path, record):
    publisher.record = record
    with pytest.raises(CaloforgeError, match="does not have the expected format"):
        records.get("ds1-photons", tmp_path, "train")


def test_record_without_the_file_names_what_it_has(publisher, tmp_path):
    del publisher.described[TRAIN]
    with pytest.raises(CaloforgeError, match=rf"no file '{TRAIN}' .* one of: binning.xml, {REFERENCE}"):
        records.get("ds1-photons", tmp_path, "train")


@pytest.mark.parametrize("files", ["foo", "trian", "dataset_9.hdf5", ""])
def test_names_that_no_record_has_are_refused_before_anybody_is_asked(publisher, tmp_path, files):
    with pytest.raises(
        CaloforgeError, match=rf"no file '{files}' in ds1-photons: give train, reference, all or one of"
    ):
        records.get("ds1-photons", tmp_path / "new", files)
    assert publisher.asked == []
    assert not (tmp_path / "new").exists()


def test_a_name_in_the_record_cannot_lead_out_of_the_folder(publisher, tmp_path):
    publisher.described = publisher.files = {"../escaped": b"content"}
    with pytest.raises(CaloforgeError, match=r"no file '\.\./escaped'"):
        records.get("ds1-photons", tmp_path / "inner", "../escaped")
    assert contents(tmp_path) == {}


def test_folder_that_is_a_file(publisher, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CaloforgeError, match="cannot create the folder"):
        records.get("ds1-photons", tmp_path / "file", "train")


def test_no_server(publisher, tmp_path, waits):
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(CaloforgeError) as raised:
        records.get("ds1-photons", tmp_path / "new", records_url=f"http://{address}")
    assert str(raised.value) == (
        f"cannot read http://{address}/8099322: cannot connect to {address}; check the network and the proxy, "
        "or download the files by hand from https://doi.org/10.5281/zenodo.8099322"
    )
    assert not (tmp_path / "new").exists()
    assert waits == [1, 2]


def test_silent_server(publisher, tmp_path, monkeypatch):
    """A server that takes the connection and says nothing is left after the timeout."""
    monkeypatch.setattr(http, "TIMEOUT", (1.0, 0.05))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CaloforgeError, match=f"{address} timed out"):
            records.get("ds1-photons", tmp_path, records_url=f"http://{address}")


def test_address_that_is_none(publisher, tmp_path):
    with pytest.raises(CaloforgeError, match=r"Invalid URL .* check the address"):
        records.get("ds1-photons", tmp_path, records_url="not-an-address")


def test_server_without_certificate(publisher, tmp_path):
    with pytest.raises(CaloforgeError, match="has no valid certificate"):
        records.get("ds1-photons", tmp_path, records_url=publisher.url.replace("http:", "https:"))


def test_broken_proxy(publisher, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(CaloforgeError, match=r"cannot reach records\.invalid through the proxy"):
        records.get("ds1-photons", tmp_path, records_url="http://records.invalid")


# --- the commands


def test_list_names_every_data_set():
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    for entry in catalog.DATA_SETS.values():
        assert entry.page in result.stdout
        assert all(name in result.stdout for name in (entry.name, *entry.files))


def test_get_prints_paths_and_what_to_do_next(publisher, tmp_path, capsys):
    """A shower file comes down a line that breaks, passes `check`, and a second call fetches nothing."""
    geometry = load_geometry("ds1-photons")
    voxels = np.random.default_rng(1).exponential(1.0, (200, geometry.n_voxels)).astype(np.float32)
    Showers(np.full(200, 512.0), voxels, geometry).write(tmp_path / "made.hdf5")
    made = (tmp_path / "made.hdf5").read_bytes()
    publisher.files[TRAIN] = publisher.described[TRAIN] = made
    publisher.cuts = [len(made) // 2]
    target = tmp_path / "data" / TRAIN
    arguments = ["get", "ds1-photons", "-o", str(target.parent), "--files", "train"]
    for _ in range(2):
        app(arguments, standalone_mode=False)
        out, err = capsys.readouterr()
        assert out == f"{target}\n"
        assert f"caloforge check {target}" in err
        assert f"--train {target}" in err
        assert "evaluate" not in err
    assert [name for name, _ in publisher.file_requests] == [TRAIN, TRAIN]
    with ShowerFile(target) as showers:
        np.testing.assert_array_equal(showers.read().voxels, voxels)


def test_mistake_is_one_line_and_status_2(publisher, monkeypatch, capsys, tmp_path):
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr("sys.argv", ["caloforge", "data", "get", "ds2", "-o", str(tmp_path), "--records-url", address])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"caloforge: cannot read {address}/6366270: cannot connect")
