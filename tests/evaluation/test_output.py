"""Which folders may be written to, and which may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.output import check_target

REPORT = '{"caloforge_version": "1"}'


def write(folder: Path, content: str = REPORT, *others: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(content, encoding="utf-8")
    for name in others:
        (folder / name).touch()
    return folder


def test_a_new_an_empty_and_an_earlier_folder_may_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "earlier", REPORT, "charts.json", "report.html", "tables", "figures")
    write(tmp_path / "of-format-1", REPORT, "report.html")
    for name in ("new", "empty", "earlier", "of-format-1"):
        assert check_target(tmp_path / name, [], overwrite=False) == tmp_path / name


@pytest.mark.parametrize(
    ("content", "others"), [(REPORT, ("notes.md",)), ("not json", ()), ("[]", ()), ('{"mine": 1}', ())]
)
def test_any_other_folder_is_refused_until_asked_for(tmp_path: Path, content: str, others: tuple[str, ...]) -> None:
    folder = write(tmp_path / "f", content, *others)
    with pytest.raises(CaloforgeError, match="overwrite=True"):
        check_target(folder, [], overwrite=False)
    assert check_target(folder, [], overwrite=True)


def test_where_nothing_can_be_written_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CaloforgeError, match=r"file/below/rep"):
        check_target(tmp_path / "file" / "below" / "rep", [], overwrite=False)
    assert check_target(tmp_path / "new" / "below" / "rep", [], overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # nothing is left of the attempt

    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("caloforge.evaluation.output.tempfile.TemporaryDirectory", refuse)
    with pytest.raises(CaloforgeError, match=f"{tmp_path}: Permission denied"):
        check_target(tmp_path / "new", [], overwrite=False)


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    earlier = write(tmp_path / "rep")
    for path in (earlier / "report.json", earlier):
        with pytest.raises(CaloforgeError, match="input"):
            check_target(earlier, [path], overwrite=True)
    with pytest.raises(CaloforgeError, match=r"report\.json"):
        check_target(earlier / "report.json", [], overwrite=True)
