"""The registry: a user's own classes, what is searched for them, and what their failures become."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, PositiveInt

from caloforge.configured import checked_settings
from caloforge.errors import CaloforgeError
from caloforge.models import MODELS
from caloforge.registry import IDENTITY, importable, importable_for, own_code_fault

OWN = (Path(__file__).parent / "own_model.py").read_text(encoding="utf-8")


def _refusal(text: str, name: str, folder: Path) -> str:
    (folder / f"{name}.py").write_text(text)
    kind = f"{name}.GaussianPerFeature"
    with importable(folder), pytest.raises(CaloforgeError) as caught:
        MODELS.resolve(kind, [kind])
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "message", "line"),
    [
        ("own_a", "class Gaussian", "clas Gaussian", "SyntaxError: invalid syntax", 11),
        ("own_b", "class Gaussian", "1 / 0\nclass Gaussian", "ZeroDivisionError: division by zero", 11),
        ("own_c", "import torch\n", "import nonesuch\n", "ModuleNotFoundError: No module named 'nonesuch'", 5),
    ],
)
def test_a_module_that_fails_on_import_is_one_line_with_file_and_line(
    name: str, old: str, new: str, message: str, line: int, tmp_path: Path
) -> None:
    refusal = _refusal(OWN.replace(old, new, 1), name, tmp_path)
    assert refusal.startswith(f"cannot import the model '{name}.GaussianPerFeature': {message}")
    assert refusal.endswith(f"({tmp_path / name}.py, line {line})")


def test_a_class_without_sample_is_told_so(tmp_path: Path) -> None:
    text = OWN[: OWN.index("    def sample")]
    assert _refusal(text, "own_d", tmp_path).endswith("'own_d.GaussianPerFeature' must define sample")


def test_an_absent_module_tells_where_it_was_looked_for(tmp_path: Path) -> None:
    with importable(tmp_path), pytest.raises(CaloforgeError, match=r"No module named 'own_e' \(searched the current"):
        MODELS.resolve("own_e.Model", ["own_e.Model"])


def test_failures_in_own_code_are_told_from_ours(tmp_path: Path) -> None:
    (tmp_path / "own_f.py").write_text(OWN.replace("log_std = self.log_std(c)\n", "log_std = self.log_std(x)\n", 1))
    with importable(tmp_path):
        cls = MODELS.resolve("own_f.GaussianPerFeature", ["own_f.GaussianPerFeature"])
    import torch

    with pytest.raises(RuntimeError) as caught:
        cls(3, 1).loss(torch.zeros(2, 3), torch.zeros(2, 1))
    fault = own_code_fault(caught.value)
    assert fault is not None
    assert fault.startswith("your own code failed: RuntimeError: mat1 and mat2")
    assert fault.endswith(f"({tmp_path}/own_f.py, line 26)")
    with pytest.raises(RuntimeError) as ours:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert own_code_fault(ours.value) is None


@pytest.mark.parametrize("where", ["run", "recipe"])
def test_a_trusted_module_is_found_in_the_run_and_beside_its_recipe(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"own_in_{where}"
    for folder in ("run", "recipe", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / where / f"{name}.py").write_text(OWN)
    (tmp_path / "run" / IDENTITY).write_text(json.dumps({"recipe_folder": str(tmp_path / "recipe")}))
    monkeypatch.chdir(tmp_path / "elsewhere")
    kind, before = f"{name}.GaussianPerFeature", list(sys.path)
    with importable_for(tmp_path / "run", [kind]):
        assert MODELS.resolve(kind, [kind]).__name__ == "GaussianPerFeature"
    assert sys.path == before


def test_a_run_runs_no_code_that_was_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither without trust, nor for another module, nor where the user's own folder offers the module."""
    run, mine = tmp_path / "run", tmp_path / "mine"
    run.mkdir()
    mine.mkdir()
    for name in ("own_g", "own_h"):
        (run / f"{name}.py").write_text("raise SystemExit('a stranger took over')")
    (run / IDENTITY).write_text(json.dumps({"recipe_folder": str(run)}))
    (mine / "own_g.py").write_text(OWN)
    monkeypatch.chdir(mine)
    for trusted in ([], ["own_g.GaussianPerFeature"], ["own_x.Model"]):
        with importable_for(run, trusted):
            assert str(run) not in sys.path
            with pytest.raises(CaloforgeError, match=r"trusted=.*own_h\.Model"):
                MODELS.resolve("own_h.Model", trusted)
    with importable_for(run, ["own_g.GaussianPerFeature"]):
        MODELS.resolve("own_g.GaussianPerFeature", ["own_g.GaussianPerFeature"])


@pytest.mark.parametrize("text", [None, "{", "[]", '{"recipe_folder": 3}'])
def test_a_run_without_a_recipes_folder_is_searched_itself(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / IDENTITY).write_text(text)
    with importable_for(tmp_path, ["own_nowhere.Model"]):
        assert str(tmp_path) not in sys.path


def test_settings_keep_the_bounds_of_their_types() -> None:
    class Thing:
        def __init__(self, *, width: PositiveInt = 3, bins: Annotated[int, Field(ge=2)] = 2) -> None: ...

    Thing.__init__.__annotations__ = {"width": PositiveInt, "bins": Annotated[int, Field(ge=2)]}
    assert checked_settings(Thing, {"width": 5}, "thing") == {"width": 5, "bins": 2}
    with pytest.raises(CaloforgeError, match=r"thing: 'width' is 0: .*greater than 0; 'bins' is 1: .*equal to 2"):
        checked_settings(Thing, {"width": 0, "bins": 1}, "thing")


def test_settings_without_plain_types_are_refused() -> None:
    class Thing:
        def __init__(self, *, what: object = None) -> None: ...

    Thing.__init__.__annotations__ = {"what": MODELS}
    with pytest.raises(CaloforgeError, match="the arguments of Thing need plain types"):
        checked_settings(Thing, {}, "model")
