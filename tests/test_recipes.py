"""Recipes: the shipped ones, overrides, and errors that name the key and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from caloforge.errors import CaloforgeError
from caloforge.showers import Showers
from caloforge.training import find_recipe, list_recipes, load_recipe, train

GOOD: dict[str, Any] = {
    "name": "r",
    "geometry": "ds1-photons",
    "transforms": [{"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}],
    "model": {"kind": "caloman", "latent_dim": 4},
    "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.001},
}


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_load(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description


def test_a_recipe_takes_the_geometry_of_the_training_file(small_showers: Showers, tmp_path: Path) -> None:
    """Also from memory; the run's own recipe names it."""
    level = {"kind": "flow_matching", "width": 8, "blocks": 1, "steps": 1}
    recipe = {
        "name": "any",
        "geometry": "file",
        "transforms": [{"kind": "readout_threshold"}],
        "model": {"kind": "cascade", "layers": level, "rings": level, "voxels": level},
        "training": {"epochs": 1, "batch_size": 128, "learning_rate": 0.001, "device": "cpu"},
    }
    with pytest.raises(CaloforgeError, match=r"recipe any: the geometry is that of the training file"):
        load_recipe(recipe).load_geometry()
    small_showers.write(tmp_path / "train.h5")
    run = train(recipe, tmp_path / "train.h5", tmp_path / "run")
    assert run.geometry == small_showers.geometry
    assert load_recipe(tmp_path / "run" / "recipe.yaml").load_geometry() == small_showers.geometry
    again = train(recipe, small_showers)
    assert again.geometry == run.geometry
    for name, value in run.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_a_recipe_for_the_geometry_of_the_file_is_checked_with_it() -> None:
    recipe = load_recipe({**GOOD, "geometry": "file", "transforms": [{"kind": "nothing"}]})
    with pytest.raises(CaloforgeError, match="nothing"):
        recipe.with_geometry("ds1-photons")


def test_a_recipe_of_an_earlier_version_says_what_it_is_called_now() -> None:
    with pytest.raises(CaloforgeError, match="flagship-ds1-photons is now called flagship-fast"):
        load_recipe("flagship-ds1-photons")


def test_the_papers_settings() -> None:
    """arXiv:2211.15380, appendix."""
    recipe = load_recipe("caloman-ds1-photons")
    autoencoder, density = recipe.training.for_stage("autoencoder"), recipe.training.for_stage("density")
    for stage in (autoencoder, density):
        assert (stage.epochs, stage.batch_size, stage.learning_rate, stage.clip_norm) == (200, 512, 1e-3, 10)
    assert autoencoder.schedule == "cosine"
    assert (density.schedule, density.patience, density.select) == ("constant", 100, "separation_power")
    assert density.select_showers == 50_000
    assert recipe.model["hidden"] == [512, 512, 512]
    assert (recipe.model["latent_dim"], recipe.model["flow_layers"], recipe.model["flow_blocks"]) == (
        20,
        4,
        3,
    )
    assert recipe.training.validation_fraction == 0.2


def _write(tmp_path: Path, plain: Any) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def test_numbers_that_yaml_takes_for_text(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-3, without a dot, as text."""
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(GOOD).replace("0.001", "1e-3"))
    assert load_recipe(path).training.learning_rate == 1e-3


def test_overrides(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    recipe = load_recipe(
        path,
        [
            "training.epochs=10",
            "training.seed=7",
            "training.device=cpu",
            "training.learning_rate=5e-4",
            "model.hidden=[8, 8]",
            "transforms.0.maximum=3.1",
            "training.stages.density.epochs=3",
        ],
    )
    assert (recipe.training.epochs, recipe.training.seed, recipe.training.device) == (10, 7, "cpu")
    assert recipe.training.learning_rate == 5e-4
    assert recipe.model["hidden"] == [8, 8]
    assert recipe.transforms[0]["maximum"] == 3.1
    assert recipe.training.for_stage("density").epochs == 3
    assert recipe.training.for_stage("autoencoder").epochs == 10


def test_resolved_recipe_reads_back(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, GOOD))
    (tmp_path / "resolved.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "resolved.yaml") == recipe


def _changed(*keys: str | int, value: Any) -> dict[str, Any]:
    plain = yaml.safe_load(yaml.safe_dump(GOOD))
    place = plain
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return plain


BAD = {
    "unknown at top": (_changed("modle", value={}), "unknown key 'modle'"),
    "unknown in training": (_changed("training", "epoch", value=3), "unknown key 'training.epoch'"),
    "unknown in model": (_changed("model", "latent", value=3), "model: unknown key 'latent'"),
    "unknown in transform": (
        _changed("transforms", 0, "max", value=3),
        r"transforms\[0\]: unknown key 'max'",
    ),
    "unknown in stage": (
        _changed("training", "stages", value={"density": {"lr": 1}}),
        "training.stages.density: unknown key 'lr'",
    ),
    "missing model": (_changed("model", value=None), "missing key 'model'"),
    "missing epochs": (_changed("training", "epochs", value=None), "missing key 'training.epochs'"),
    "missing setting": (_changed("model", "latent_dim", value=None), "model: missing key 'latent_dim'"),
    "missing kind": (_changed("model", "kind", value=None), "model: missing key 'kind'"),
    "wrong type": (_changed("training", "epochs", value="many"), "'training.epochs' is 'many'"),
    "out of range": (_changed("training", "epochs", value=0), "'training.epochs' is 0"),
    "a switch": (_changed("training", "clip_norm", value=True), "'training.clip_norm' is True: .*is a switch"),
    "unknown model": (
        _changed("model", "kind", value="calomen"),
        "unknown model 'calomen': give one of .*caloman",
    ),
    "no such class": (
        _changed("model", "kind", value="nowhere.Model"),
        "cannot import the model 'nowhere.Model'",
    ),
    "no model at all": (_changed("model", "kind", value="pathlib.Path"), "does not derive from ShowerModel"),
    "geometry": (_changed("geometry", value="ds7"), "unknown geometry 'ds7'"),
    "schedule": (_changed("training", "schedule", value="linear"), "'training.schedule' is 'linear'"),
    "list": ([1, 2], "expected a mapping"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_recipes_name_the_key_and_the_file(case: str, tmp_path: Path) -> None:
    plain, message = BAD[case]
    path = _write(tmp_path, plain)
    with pytest.raises(CaloforgeError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _fault(plain: dict[str, Any], tmp_path: Path, *overrides: str) -> str:
    with pytest.raises(CaloforgeError) as caught:
        load_recipe(_write(tmp_path, plain), overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_typo_comes_before_the_key_that_it_leaves_missing(tmp_path: Path) -> None:
    plain = _changed("training", "learning_rate", value=None)
    plain["training"]["learnin_rate"] = 0.001
    plain["training"]["wibble"] = 1
    fault = _fault(plain, tmp_path)
    assert "unknown key 'training.learnin_rate' (did you mean 'learning_rate'? known: epochs, batch_size" in fault
    assert "unknown key 'training.wibble' (known: epochs" in fault
    assert fault.endswith("; missing key 'training.learning_rate'")


def test_faults_in_all_parts_are_told_at_once(tmp_path: Path) -> None:
    plain = _changed("model", "latent_dims", value=4)
    plain["transforms"][0]["maxim"] = 2
    plain["training"]["stages"] = {"density": {"epoch": 3}}
    fault = _fault(plain, tmp_path)
    for part in (
        "transforms[0]: unknown key 'maxim' (did you mean 'maximum'? known: maximum)",
        "model: unknown key 'latent_dims' (did you mean 'latent_dim'?",
        "training.stages.density: unknown key 'epoch' (did you mean 'epochs'?",
    ):
        assert part in fault


def test_an_override_is_blamed_for_its_own_fault_and_the_file_for_the_files(tmp_path: Path) -> None:
    guilty = "training.epocs=3"
    innocent = "training.seed=4"
    fault = _fault(GOOD, tmp_path, innocent, guilty)
    assert fault.startswith(
        "the override 'training.epocs=3': unknown key 'training.epocs' (did you mean 'epochs'? known: "
    )
    assert "recipe.yaml" not in fault
    assert _fault(GOOD, tmp_path, guilty, "model.hiden=[3]").startswith(
        f"the override '{guilty}' and 'model.hiden=[3]': "
    )
    assert _fault(_changed("modle", value=1), tmp_path, innocent).startswith(f"{tmp_path / 'recipe.yaml'}: unknown")
    # The file lacks a key on purpose and one override gives it: still only the other one is to blame.
    incomplete = _changed("model", "latent_dim", value=None)
    assert _fault(incomplete, tmp_path, "model.latent_dim=4", "model.hiden=[3]").startswith(
        "the override 'model.hiden=[3]': "
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "an override is dotted.key=value"),
        ("training.epochs.x=3", "'epochs' is a single value"),
        ("transforms.9.kind=x", "'9' must be an index of a list of 2"),
        ("training.epoks=3", "unknown key 'training.epoks'"),
        ("model.hidden=[1", "cannot be parsed as YAML"),
    ],
)
def test_bad_overrides(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match=message):
        load_recipe(_write(tmp_path, GOOD), [override])


def test_no_such_recipe_lists_the_shipped() -> None:
    with pytest.raises(CaloforgeError, match=r"no such recipe: nothing.*caloman-ds1-photons"):
        find_recipe("nothing")


def test_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("a: [1\nb: {")
    with pytest.raises(CaloforgeError, match=r"recipe.yaml cannot be parsed as YAML"):
        load_recipe(path)
