"""The C++ client in examples/cpp, built here with the wheel's library: the voxels of Python for the same noise."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caloforge.export.card import card_path
from caloforge.export.ddml import export_ddml
from caloforge.export.graph import export_graph, make_format, target_of
from caloforge.geometry import load_geometry
from documented import DOCS, blocks
from export.test_conditions_in_graphs import HIGH, LOW, THETA, a_run, a_run_with_noise, by_run, mesh

pytestmark = pytest.mark.xdist_group("cpp_client")  # on one worker, so that it is built once

SOURCES = Path(__file__).parents[2] / "examples" / "cpp"
AGREEMENT = 1e-5
"""Largest difference of a voxel, as a fraction of the incident energy."""


def library() -> Path:
    """Folder of onnxruntime: ONNXRUNTIME_ROOT, or that of the wheel's library; skips without one."""
    if given := os.environ.get("ONNXRUNTIME_ROOT"):
        return Path(given)
    wheel = importlib.util.find_spec("onnxruntime")
    if wheel is None or wheel.origin is None:
        pytest.skip("needs onnxruntime (extra onnx)")
    folder = Path(wheel.origin).parent / "capi"
    if not [*folder.glob("libonnxruntime.so.*"), *folder.glob("libonnxruntime.*.dylib")]:
        pytest.skip("this onnxruntime wheel has no library to link with; ONNXRUNTIME_ROOT may name a release")
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, without optimisation and with warnings as errors."""
    if (cmake := shutil.which("cmake")) is None or not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("needs cmake and a C++ compiler")
    build = tmp_path_factory.mktemp("client")
    flags = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS=-Werror -O0 -g0", f"-DONNXRUNTIME_ROOT={library()}")
    for words in (["-S", SOURCES, "-B", build, *flags], ["--build", build, "--parallel", "2"]):
        done = subprocess.run([cmake, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "shower"


@dataclass(frozen=True)
class Client:
    """The program, and a folder for its files."""

    program: Path
    folder: Path

    def run(self, graph: Path, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, graph, *map(str, words)], capture_output=True, text=True, check=False, timeout=60
        )

    def voxels(self, graph: Path, n: int, *words: object, noise: np.ndarray | None = None) -> np.ndarray:
        """(n, V) in MeV."""
        out = self.folder / "voxels.f32"
        if noise is not None:
            (self.folder / "noise.f32").write_bytes(noise.astype("<f4").tobytes())
            words = (*words, "--noise", self.folder / "noise.f32")
        done = self.run(graph, "-n", n, *words, "--output", out)
        assert (done.returncode, done.stderr) == (0, "")
        return np.fromfile(out, "<f4").reshape(n, -1)

    def refuses(self, graph: Path, *words: object) -> str:
        """The one line of an error."""
        done = self.run(graph, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        return done.stderr


@pytest.fixture
def client(program: Path, tmp_path: Path) -> Client:
    return Client(program, tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in the format onnx of a run that knows only the energy."""
    path = tmp_path_factory.mktemp("plain") / "g.onnx"
    export_graph(a_run(mesh(), {}), "onnx", path, showers=8)
    return path


def agree(found: np.ndarray, expected: np.ndarray, energies: np.ndarray) -> None:
    """Equal, but for voxels that the readout threshold, 0.5 MeV, cuts in one of them."""
    allowed = AGREEMENT * energies[:, None]
    cut = (found == 0) != (expected == 0)
    assert (found > 0).mean() > 0.2
    assert cut.mean() < 0.01
    assert (np.maximum(found, expected)[cut] < 0.5 + AGREEMENT * HIGH).all()
    assert (np.abs(found - expected) <= allowed)[~cut].all()


GIVEN = {"theta": 0.4, "phi": -1.0, "pdg": 22.0}

FORMATS: dict[str, tuple[str, dict[str, Any], dict[str, float], dict[str, Any]]] = {
    "onnx": ("onnx", {}, {}, {}),
    "onnx with conditions": ("onnx", {**THETA, "phi": [-3.1, 3.1], "pdg": [11, 22]}, GIVEN, {}),
    "atlas": ("atlas", {}, {}, {"settings": {"limits": "trained"}}),
    "atlas-binned": ("atlas-binned", {}, {}, {}),
    "atlas-binned with an angle": ("atlas-binned", THETA, {"eta": float(np.arcsinh(np.tan(0.4)))}, {}),
    "par04": ("par04", {}, {}, {}),
    "par04 with an angle": ("par04", THETA, {"polar": np.pi / 2 + 0.4}, {}),
    "scaled": ("par04", {}, {}, {"scale": 0.5}),
}


@pytest.mark.parametrize("case", FORMATS)
def test_voxels_are_those_of_python_for_the_same_noise(case: str, client: Client, tmp_path: Path) -> None:
    name, columns, passed, options = FORMATS[case]
    # atlas-binned passes 39 numbers: some more are derived from them
    run = a_run_with_noise(mesh(), columns, 50) if name == "atlas-binned" else a_run(mesh(), columns)
    path = tmp_path / "g.onnx"
    graph = export_graph(run, name, path, showers=8, **options)
    energies = np.resize([LOW, 1234.5, 4000.0, HIGH], 12)
    noise = np.random.default_rng(2).normal(size=(12, graph.form.noise_size)).astype("f4")
    latent = graph.form.latent(torch.from_numpy(noise)).numpy()
    known = {"theta": 0.4} if {"polar", "eta"} & passed.keys() else passed
    expected = np.concatenate([by_run(run, latent[k : k + 1], float(e), **known) for k, e in enumerate(energies)])
    if name != "onnx":  # the consumer's order: each voxel of it is one of ours
        inside = np.arange(1.0, expected.shape[1] + 1)[None]
        order = graph.form.write(torch.from_numpy(inside), torch.ones(1, 1), torch.ones(1, 1))
        expected = expected[:, order.numpy().astype(int)[0] - 1]
    words = [word for e in energies for word in ("--energy", e)]
    words += [word for key, value in passed.items() for word in ("--condition", f"{key}={value}")]
    found = client.voxels(path, 12, *words, noise=noise)
    agree(found / options.get("scale", 1), expected, energies)
    together = client.voxels(path, 12, *words, "--batch", 5, "--threads", 2, noise=noise)
    np.testing.assert_allclose(together, found, atol=AGREEMENT * LOW)


def test_noise_inside_the_graph(client: Client, tmp_path: Path) -> None:
    """Seeded, the showers are those of a session in Python; otherwise no two are equal, whatever the thread."""
    from caloforge.inference.onnx_engine import onnx_session

    run, path = a_run(load_geometry("ds2"), {}), tmp_path / "c.onnx"
    content = export_graph(run, "calodit2", path, showers=4, settings={"seed": 7}).content
    found, session = client.voxels(path, 3, "--energy", 2000), onnx_session(content)
    row = np.array([[2.0, 0, 0, 0, 0, 0, 0, 1]], np.float32)
    expected = np.concatenate([session.run(None, {"input": row})[0] for _ in range(3)])
    np.testing.assert_allclose(found, 1000 * expected, atol=AGREEMENT * 2000)
    assert "draws its noise itself" in client.refuses(path, "--energy", 2000, "--seed", 1)
    export_graph(run, "calodit2", path, showers=4)
    anew = np.concatenate([client.voxels(path, 6, "--energy", 2000, "--threads", 2) for _ in range(2)])
    assert len(np.unique(anew, axis=0)) == 12
    assert (anew.sum(axis=1) > 0).all()


def test_threads_differ_and_a_seed_repeats(client: Client, plain: Path) -> None:
    words = ("--energy", 1000, "--energy", 3000)
    first = client.voxels(plain, 40, *words, "--seed", 5)
    assert len(np.unique(first, axis=0)) == 40
    for further in ((), ("--threads", 3)):
        np.testing.assert_array_equal(client.voxels(plain, 40, *words, "--seed", 5, *further), first)
    assert not np.array_equal(client.voxels(plain, 40, *words, "--seed", 6), first)
    assert not np.array_equal(client.voxels(plain, 40, *words), client.voxels(plain, 40, *words))
    as_written = client.voxels(plain, 40, *words, "--seed", 5, "--no-optimisation")
    np.testing.assert_allclose(as_written, first, atol=0.6)


def test_noise_of_a_seed_is_normal(client: Client, plain: Path, tmp_path: Path) -> None:
    """Energies of showers by the client's noise and by numpy's have the same mean and spread."""
    mine = client.voxels(plain, 3000, "--energy", 2000, "--seed", 1, "--batch", 500).sum(axis=1, dtype=float)
    noise = np.random.default_rng(1).normal(size=(3000, 4))
    other = client.voxels(plain, 3000, "--energy", 2000, "--batch", 500, noise=noise).sum(axis=1, dtype=float)
    assert abs(mine.mean() - other.mean()) < 5 * mine.std() * (2 / 3000) ** 0.5
    assert mine.std() == pytest.approx(other.std(), rel=0.1)


def test_it_prints_showers_and_times(client: Client, plain: Path) -> None:
    done = client.run(plain, "--energy", 1000, "-n", 2, "--sessions", 3)
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["shower 0", "shower 1"]
    assert "MeV in" in lines[0]
    assert lines[2].startswith("seed ")
    assert "per shower: median" in lines[3]


def test_the_program_of_the_tutorial_compiles(tmp_path: Path) -> None:
    if (compiler := shutil.which("c++")) is None:
        pytest.skip("needs a C++ compiler")
    (shown,) = (block for block in blocks(DOCS / "tutorials" / "export-cpp.md") if block.language == "cpp")
    (tmp_path / "shown.cpp").write_text(shown.text)
    flags = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{SOURCES}"]
    done = subprocess.run([compiler, *flags, tmp_path / "shown.cpp"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--energy", "nan"), "energy nan MeV is outside the range of the training, 499.5 to 8008"),
        (("--energy", "inf"), "energy inf MeV is outside"),
        (("--energy", "-5"), "energy -5 MeV is outside"),
        (("--energy", "9000"), "energy 9000 MeV is outside"),
        (("--energy", "1000", "--condition", "theta=0.1"), "the graph takes no condition theta"),
        (("--energy", "1GeV"), "--energy '1GeV' is not a number"),
        (("--energy", "1000", "-n", "0"), "-n '0' is not a whole number of at least 1"),
        (("--energy", "1000", "-n", "9000000000000"), "out of memory"),
        (("--energy", "1000", "--noise", "missing.f32"), "missing.f32: no such file"),
        (("--energy", "1000", "--colour", "red"), "unknown argument '--colour'"),
        ((), "give an export and --energy"),
    ],
)
def test_what_cannot_be_done_is_one_line(words: tuple[str, ...], message: str, client: Client, plain: Path) -> None:
    assert message in client.refuses(plain, *words)


def test_noise_that_does_not_fit(client: Client, plain: Path, tmp_path: Path) -> None:
    noise = np.zeros((2, 4), "<f4")
    (tmp_path / "noise.f32").write_bytes(noise.tobytes()[:-4])
    words = ("--energy", 1000, "-n", 2, "--noise", tmp_path / "noise.f32")
    assert "2 showers take 8 numbers of noise, 4 each, not 7" in client.refuses(plain, *words)
    noise[1, 2] = np.nan
    (tmp_path / "noise.f32").write_bytes(noise.tobytes())
    assert "a number of the noise is nan" in client.refuses(plain, *words)


@pytest.mark.parametrize(("drawn", "message"), [(-1.0, "nan"), (0.0, "-inf"), (0.5, "-0.693147")])
def test_a_graph_that_fails(drawn: float, message: str, client: Client, tmp_path: Path) -> None:
    """Voxels that are not finite or negative never get out: here they are logarithms of the noise."""
    import onnx

    form = make_format("onnx", target_of(a_run(mesh(), {})), {})
    shapes = {"noise": 4, "incident_energy": 1, "voxels": 4}
    noise, energy, voxels = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size]) for name, size in shapes.items()
    )
    nodes = [onnx.helper.make_node("Log", ["noise"], ["voxels"])]
    opset = [onnx.helper.make_opsetid("", 16)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", [noise, energy], [voxels]), opset_imports=opset, ir_version=8
    )
    card = form.describe() | {"card_version": 1}
    card["output"]["voxels"]["shape"] = ["N", 4]
    onnx.helper.set_model_props(model, {f"caloforge.{key}": json.dumps(card[key]) for key in ("inputs", "output")})
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    card_path(tmp_path / "g.onnx").write_text(json.dumps(card))
    row = np.ones((1, 4), "<f4")
    assert (client.voxels(tmp_path / "g.onnx", 1, "--energy", 1000, noise=row) == 0).all()
    row[0, 2] = drawn
    (tmp_path / "noise.f32").write_bytes(row.tobytes())
    words = ("--energy", 1000, "-n", 1, "--noise", tmp_path / "noise.f32")
    assert f"voxel 2 is {message}" in client.refuses(tmp_path / "g.onnx", *words)


def test_conditions_that_do_not_fit(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    export_graph(a_run(mesh(), {**THETA, "phi": [-3.1, 3.1], "pdg": [11, 22]}), "onnx", path, showers=8)

    def refused(**conditions: float) -> str:
        words = [word for name, value in conditions.items() for word in ("--condition", f"{name}={value}")]
        return client.refuses(path, "--energy", 1000, *words)

    message = "the condition phi is missing; the run was trained at -3.267"
    assert message in refused(theta=0.1, pdg=11)
    assert "theta 1.5 rad is outside the range of the training" in refused(theta=1.5, phi=0, pdg=11)
    assert "phi nan rad is outside" in refused(theta=0.1, phi=float("nan"), pdg=11)
    assert "pdg 13 is outside the range of the training, 11 to 11, 22 to 22" in refused(theta=0.1, phi=0, pdg=13)
    around = [
        client.voxels(path, 1, "--energy", 1000, "--seed", 1, *angles)
        for phi in (1.0, 1.0 + 2 * np.pi)
        for angles in [("--condition", f"phi={phi}", "--condition", "theta=0.1", "--condition", "pdg=11")]
    ]
    np.testing.assert_allclose(*around, atol=0.01)


def test_files_that_are_no_export(client: Client, plain: Path, tmp_path: Path) -> None:
    path, card = tmp_path / "g.onnx", json.loads(card_path(plain).read_text())

    def refused(facts: dict[str, Any] | str | None) -> str:
        if facts is not None:
            card_path(path).write_text(facts if isinstance(facts, str) else json.dumps(facts))
        return client.refuses(path, "--energy", 1000)

    assert "g.onnx: no such file" in refused(None)
    shutil.copy(plain, path)
    assert "its card, g.onnx.json, is not next to it" in refused(None)
    assert "its card is not valid JSON at character 5" in refused('{"a" 1}')
    assert "its card is of version 2, but this program reads version 1" in refused({**card, "card_version": 2})
    unnumbered = {key: value for key, value in card.items() if key != "card_version"}
    assert "its card has no card_version: export it again" in refused(unnumbered)
    other = json.loads(card_path(plain).read_text())
    other["inputs"]["incident_energy"]["columns"][0]["factor"] = 0.001
    assert "its card is that of another export" in refused(other)
    path.write_bytes(b"not a graph")
    assert "onnxruntime: " in refused(card)
    export_ddml(a_run(mesh(), {}), np.full(2, 1000.0), path, seed=1, grid="own")
    assert "it holds showers (ddml-hdf5), not a graph" in refused(None)
