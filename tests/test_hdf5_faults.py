"""Shower files that cannot be read as they are: every cause is one error that names it, and no advice destroys data."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path
from caloforge.showers import ShowerFile, Showers
from caloforge.showers.attributes import UNREADABLE
from caloforge.showers.hdf5 import created
from caloforge.showers.hdf5_damage import ENDS, has_damaged_texts


@pytest.fixture
def path(tmp_path: Path, small_showers: Showers) -> Path:
    small_showers.write(tmp_path / "good.h5")
    return tmp_path / "good.h5"


def read(path: Path) -> Showers:
    with ShowerFile(path) as file:
        file.energies()
        return file.read()


def refused(path: Path) -> str:
    with pytest.raises(CaloforgeError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# ---- locks ----------------------------------------------------------------------------------------------------------


def test_a_file_that_another_process_writes_is_not_called_damaged(path: Path) -> None:
    code = f"import h5py; f = h5py.File({str(path)!r}, 'a'); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        message = refused(path)
        writer.stdin.write("\n")
    assert "another process" in message
    assert "HDF5_USE_FILE_LOCKING=FALSE" in message
    assert "delete" not in message


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(*args: object, **kwargs: object) -> None:
        raise OSError(number, "unable to lock file")

    monkeypatch.setattr(h5py, "File", without_locks)
    assert "HDF5_USE_FILE_LOCKING=FALSE" in refused(path)


def test_an_error_of_the_system_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, "unable to open file")

    monkeypatch.setattr(h5py, "File", broken)
    assert "damaged" not in refused(path)


# ---- missing parts --------------------------------------------------------------------------------------------------


def rewritten(path: Path, change: Callable[[h5py.File, np.ndarray], object]) -> None:
    """Replace the voxels of a file by what `change` makes of them."""
    with h5py.File(path, "r+") as file:
        voxels = file["showers"][...]
        del file["showers"]
        change(file, voxels)


def test_a_missing_filter_is_named_with_its_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_zstandard(file: h5py.File, voxels: np.ndarray) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(voxels.shape)
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple(voxels.shape)
        entry = h5py.h5d.create(file.id, b"showers", h5py.h5t.IEEE_F32LE, space, plist)
        entry.write_direct_chunk((0, 0), b"compressed")

    rewritten(path, with_zstandard)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)  # not installed
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32015)
    message = refused(path)
    assert "Zstandard" in message
    assert "hdf5plugin" in message


@pytest.mark.parametrize("kind", ["soft", "external", "loop"])
def test_a_link_that_leads_nowhere_is_named_with_its_target(kind: str, path: Path) -> None:
    links = {
        "soft": h5py.SoftLink("/absent"),
        "external": h5py.ExternalLink("absent.h5", "/showers"),
        "loop": h5py.SoftLink("/showers"),
    }
    rewritten(path, lambda file, voxels: file.__setitem__("showers", links[kind]))
    assert ("absent" if kind != "loop" else "/showers") in refused(path)


def test_a_dangling_symbolic_link_is_named_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to("moved-away.h5")
    assert "moved-away.h5" in refused(tmp_path / "link.h5")


def test_links_that_lead_somewhere_are_followed(path: Path, small_showers: Showers) -> None:
    def linked(file: h5py.File, voxels: np.ndarray) -> None:
        with h5py.File(path.with_name("other.h5"), "w") as other:
            other["deep/voxels"] = voxels
        file["showers"] = h5py.ExternalLink("other.h5", "/deep/voxels")

    rewritten(path, linked)
    assert np.array_equal(read(path).voxels, small_showers.voxels)


def virtual(*names: str) -> Callable[[h5py.File, np.ndarray], None]:
    """The voxels in files of these names, and a virtual dataset of them."""

    def change(file: h5py.File, voxels: np.ndarray) -> None:
        parts = np.array_split(voxels, len(names))
        layout = h5py.VirtualLayout(voxels.shape, voxels.dtype)
        start = 0
        for name, part in zip(names, parts, strict=True):
            with h5py.File(Path(file.filename).parent / name, "w") as other:
                other["v"] = part
            layout[start : start + len(part)] = h5py.VirtualSource(name, "v", part.shape)
            start += len(part)
        file.create_virtual_dataset("showers", layout)

    return change


def test_a_virtual_dataset_needs_all_its_sources(path: Path, small_showers: Showers) -> None:
    rewritten(path, virtual("a.h5", "b.h5"))
    assert np.array_equal(read(path).voxels, small_showers.voxels)
    path.with_name("b.h5").rename(path.with_name("moved.h5"))
    assert "b.h5" in refused(path)
    with h5py.File(path.with_name("b.h5"), "w") as other:
        other["w"] = 1.0
    assert "b.h5:v" in refused(path)


def test_a_virtual_dataset_is_found_where_hdf5_finds_it(
    path: Path, small_showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Next to the file, from any working directory, through a symbolic link too."""
    rewritten(path, virtual("a.h5"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path("link.h5").symlink_to(path)
    assert np.array_equal(read(Path("link.h5")).voxels, small_showers.voxels)


def test_missing_raw_data_are_named(path: Path) -> None:
    def outside(file: h5py.File, voxels: np.ndarray) -> None:
        file.create_dataset("showers", voxels.shape, "f4", external=[("raw.bin", 0, voxels.nbytes)])

    rewritten(path, outside)
    path.with_name("raw.bin").unlink(missing_ok=True)
    assert "raw.bin" in refused(path)


def test_rows_that_nobody_stored_are_not_believed(path: Path) -> None:
    """10¹² rows claimed: an error at once, not a search for memory."""
    with h5py.File(path, "r+") as file:
        for name, width in (("incident_energies", 1), ("showers", 13)):
            dtype = file[name].dtype
            del file[name]
            file.create_dataset(name, (10**12, width), dtype, chunks=(100, width))
    assert "(1000000000000, 1)" in refused(path)


# ---- attributes -----------------------------------------------------------------------------------------------------

ODD = {
    "complex": 1 + 2j,
    "empty": h5py.Empty("f4"),
    "bytes": np.bytes_(b"\xff\xfe"),
    "long double": np.longdouble("0.1"),
    "opaque": np.void(b"\x00\x01"),
    "compound": np.array((1, 2.0), dtype=[("a", "i4"), ("b", "f8")]),
    "complexes": np.array([1j, 2.0]),
    "texts": ["a", "b"],
    "grid": np.arange(4).reshape(2, 2),
    "nan": np.nan,
}


def test_odd_attributes_become_plain_and_can_be_written_again(path: Path, small_showers: Showers) -> None:
    with h5py.File(path, "r+") as file:
        for name, value in ODD.items():
            file.attrs[name] = value
        file.attrs["reference"] = file["showers"].ref
        file.attrs.create("ragged", [np.arange(2), np.arange(3)], dtype=h5py.vlen_dtype("i4"))
    found = read(path)
    assert found.attributes["reference"] == found.attributes["ragged"] == UNREADABLE
    assert found.attributes["complex"] == "(1+2j)"
    assert found.attributes["bytes"] == "\\xff\\xfe"
    assert found.attributes["opaque"] == "0001"
    assert found.attributes["texts"] == ["a", "b"]
    assert found.attributes["grid"] == [[0, 1], [2, 3]]

    def check(value: object) -> None:
        assert value is None or isinstance(value, (str, bool, int, float, list)), value
        for entry in value if isinstance(value, list) else ():
            check(entry)

    for value in found.attributes.values():
        check(value)
    found.write(path.with_name("again.h5"), {"none": None, "mixed": [1, "a", None], "nul": "a\0b"})
    again = read(path.with_name("again.h5")).attributes
    assert {name: again[name] for name in ODD if name != "nan"} == {
        name: found.attributes[name] for name in ODD if name != "nan"
    }
    assert "none" not in again


# ---- failed writes --------------------------------------------------------------------------------------------------


def test_no_failed_write_crashes_or_leaves_anything(tmp_path: Path, small_showers: Showers) -> None:
    """The disk fills up at every possible write, in a process of its own: HDF5 may crash as late as at its end."""
    small_showers.write(tmp_path / "in.h5")
    code = f"""
import errno, sys
from pathlib import Path
from caloforge import Showers, CaloforgeError
from caloforge.showers import hdf5
showers = Showers.read({str(tmp_path / "in.h5")!r})
write = hdf5._Output.write
def full(self, data):
    global left
    left -= 1
    if left < 0 and self.failure is None:
        self.failure = OSError(errno.ENOSPC, "No space left on device")
    return write(self, data)
hdf5._Output.write = full
failures = 0
for k in range(200):
    left = k
    try:
        showers.write({str(tmp_path / "out.h5")!r})
    except CaloforgeError as error:
        assert "no space left" in str(error) and "out.h5" in str(error), error
        failures += 1
    else:
        break
    assert [p.name for p in Path({str(tmp_path)!r}).iterdir()] == ["in.h5"]
print(failures)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 5


@pytest.mark.parametrize(
    ("number", "fact"), [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "no space left"), (errno.EFBIG, "ulimit -f")]
)
def test_a_failed_write_names_the_target(number: int, fact: str, tmp_path: Path) -> None:
    target = tmp_path / "x.h5"
    with (
        pytest.raises(CaloforgeError, match=fact) as caught,
        atomic_path(target) as partial,
        created(partial) as (file, _),
    ):
        file["a"] = 1.0
        raise OSError(number, "refused")
    assert str(target) in str(caught.value)
    assert not list(tmp_path.iterdir())


# ---- damage on which the library itself hangs or crashes -----------------------------------------------------------


def test_an_endless_heap_is_refused(path: Path) -> None:
    """The library looks for the next text for ever where one has no length; so the file is not even opened."""
    content = bytearray(path.read_bytes())
    heap = content.find(b"GCOL\x01")
    assert heap > 0
    content[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_a_text_longer_than_the_file_is_refused(path: Path) -> None:
    """The library would take memory for all of it; so the file is not even opened."""
    content = bytearray(path.read_bytes())
    heap = content.find(b"GCOL\x01")
    reference = content.find(heap.to_bytes(8, "little"))
    assert reference > 4
    assert not has_damaged_texts(path)
    content[reference - 1] = 0xFF
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_an_attribute_of_a_condition_that_is_a_reference_is_not_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["showers"], file["incident_energies"] = np.ones((3, 368)), np.full((3, 1), 400.0)
        file["incident_theta"] = np.zeros(3)
        file["incident_theta"].attrs["unit"] = file.ref
    with pytest.raises(CaloforgeError, match=r"'incident_theta': .*cannot be read"):
        ShowerFile(tmp_path / "s.h5")


def test_heaps_are_found_at_both_ends_of_a_large_file(tmp_path: Path) -> None:
    path, endless = tmp_path / "large", b"GCOL\x01\0\0\0" + (4096).to_bytes(8, "little") + bytes(4080)
    for position, found in ((100, True), (3 * ENDS - 5000, True), (3 * ENDS // 2, False)):
        with path.open("wb") as out:
            out.truncate(3 * ENDS)
            out.seek(position)
            out.write(endless)
        assert has_damaged_texts(path) is found


def test_a_chunk_shorter_than_its_checksum_is_refused(path: Path) -> None:
    """The library crashes where it looks for the checksum of a chunk of no bytes."""
    with h5py.File(path, "r+") as file:
        voxels = file["showers"][...]
        del file["showers"]
        entry = file.create_dataset("showers", data=voxels, chunks=(100, 13), fletcher32=True)
        first = entry.id.get_chunk_info(0)
    assert len(read(path).voxels) == 600
    content = path.read_bytes()
    # A key of the chunks' B-tree: size (4 bytes), filter mask (4), offsets (8 each).
    key = first.size.to_bytes(4, "little") + bytes(4 + 3 * 8)
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, bytes(len(key))))
    assert "checksum" in refused(path)
