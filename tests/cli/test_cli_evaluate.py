"""`caloforge evaluate` and `caloforge compare` from the outside: status, files, what the terminal says."""

from pathlib import Path

import numpy as np
import pytest

from caloforge.classifiers import TESTS
from caloforge.cli import main
from caloforge.cli.compare import Published
from caloforge.cli.console import progress_bar
from caloforge.cli.evaluate import Lines, Sections, duration, expected_times, parse_energies, parse_names
from caloforge.errors import CaloforgeError
from caloforge.evaluation.metrics.base import REGISTRY
from caloforge.evaluation.report.page import key_table
from caloforge.evaluation.report.published import DATA_SETS
from caloforge.evaluation.report.report import Report
from caloforge.showers import Showers


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["caloforge", *map(str, words)])
    with pytest.raises(SystemExit) as found:
        main()
    return int(found.value.code or 0)


@pytest.fixture
def files(small_showers: Showers, tmp_path: Path) -> tuple[Path, Path]:
    halves = tmp_path / "generated.h5", tmp_path / "reference.h5"
    for path, rows in zip(halves, (slice(0, None, 2), slice(1, None, 2)), strict=True):
        small_showers[rows].write(path, {"source": "made up"})
    return halves


@pytest.fixture
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures have tests of their own, and take most of the time."""
    monkeypatch.setattr("caloforge.evaluation.report.figures.figures", lambda records: [])
    monkeypatch.setattr("caloforge.evaluation.report.page.telling", lambda records: {})


def test_help_lists_every_classifier_test_and_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "evaluate", "--help") == 0
    lines = {words[0]: words[1:] for line in capsys.readouterr().out.splitlines() if (words := line.split())}
    for name, test in TESTS.items():
        said = " ".join(lines[name])
        classifier = test.summary.split("; ")[1].split(" (")[0].split(",")[0].replace("×", "x")
        assert classifier in said
    listed = {
        name
        for name in lines
        if name.startswith(("calo", "challenge_", "quick", "trees", "rings", "everything", "strong")) and name in TESTS
    }
    assert listed == set(TESTS)


@pytest.mark.usefixtures("_no_figures")
def test_evaluate_and_compare(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    generated, reference = files
    out = tmp_path / "rep"
    monkeypatch.setenv("COLUMNS", "100")
    options = ("--reference", reference, "-o", out, "--quick", "--classifiers", "none")
    assert run(monkeypatch, "evaluate", generated, *options) == 0
    said = capsys.readouterr().out
    report = Report.load(out)
    rows = key_table(report).rows
    assert len(rows) >= 4
    for row in rows:
        assert all(cell.short in said for cell in row)
    assert report.verdict.headline in said
    assert str(out / "report.html") in said
    assert report.about.command.startswith("caloforge evaluate ")
    assert report.section("auc") == []
    names = {"report.json", "charts.json", "report.html", "tables", "figures"}
    assert {path.name for path in out.iterdir()} == names

    # an earlier report is replaced without a word, any other folder is not
    assert run(monkeypatch, "evaluate", generated, *options, "--seed", 2) == 0
    assert Report.load(out).about.seed == 2
    (out / "notes.md").write_text("mine", encoding="utf-8")
    assert run(monkeypatch, "evaluate", generated, *options) == 2
    assert "notes.md" in capsys.readouterr().err
    assert (out / "notes.md").read_text(encoding="utf-8") == "mine"

    into = tmp_path / "comparison"
    assert run(monkeypatch, "compare", out, out, "-o", into, "--published", "ds2") == 0
    printed = capsys.readouterr().out
    assert "Mean separation power" in printed
    assert "CaloChallenge 2022, ds2" in printed
    assert "conv. L2LFlows" in (into / "compare.html").read_text(encoding="utf-8")


PLUGIN = """
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Metric, Section, metric


@metric(Section("cli_ratio", "Ratio of means", direction="nearer"), quick=True)
def cli_ratio(samples):
    if samples.seed == 13:
        raise RuntimeError("unlucky")
    means = [float(sample.energies.mean()) for sample in (samples.generated, samples.reference)]
    yield Metric("cli_ratio", "energy", "incident energy", Estimate(means[0] / means[1], 0.1, expected=1.0))
"""


@pytest.mark.usefixtures("_no_figures")
def test_a_file_of_ones_own_adds_a_metric(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, out = tmp_path / "own_ratio.py", tmp_path / "rep"
    plugin.write_text(PLUGIN, encoding="utf-8")
    options = ("-r", files[1], "-o", out, "--quick", "--classifiers", "none", "--plugin", plugin)
    try:
        assert run(monkeypatch, "evaluate", files[0], *options) == 0
        assert "Ratio of means: incident energy" in capsys.readouterr().out
        estimate = Report.load(out)["cli_ratio", "energy"].estimate
        assert estimate is not None
        assert estimate.value == 1.0
        assert "Ratio of means" in (out / "report.html").read_text(encoding="utf-8")
        assert run(monkeypatch, "compare", out, out) == 0
        assert "Ratio of means" in capsys.readouterr().out
        # its own failure is one line that names the place
        assert run(monkeypatch, "evaluate", files[0], *options, "--seed", 13) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("caloforge: ")]
        assert "RuntimeError: unlucky" in line
        assert f"{plugin}, line 9" in line
    finally:
        REGISTRY.pop("cli_ratio", None)


def test_messages_name_files_even_where_they_are_kept_in_memory(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate", files[0], "-r", files[1], "--quick", "--classifiers", "none")
    assert run(monkeypatch, *words, "--baseline", files[1], "-o", tmp_path / "rep") == 2
    assert f"{files[1]} and {files[1]} share 300 showers" in capsys.readouterr().err
    assert run(monkeypatch, *words, "-o", files[0]) == 2
    assert f"{files[0]} is an input: give another path with -o" in capsys.readouterr().err


@pytest.mark.usefixtures("_no_figures")
def test_a_plugin_that_registers_nothing_is_noted(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "forgot_the_decorator.py"
    plugin.write_text("def mine(samples):\n    return []\n", encoding="utf-8")
    options = ("-r", files[1], "-o", tmp_path / "rep", "--quick", "--classifiers", "none", "--plugin", plugin)
    assert run(monkeypatch, "evaluate", files[0], *options) == 0
    assert f"note: {plugin} registers no metric, observable or classifier test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "line 1"),
        ("import absent_one", "absent_one"),
    ],
)
def test_a_file_of_ones_own_that_fails_is_one_line(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    words: str,
) -> None:
    plugin = tmp_path / "broken_plugin.py"
    if content is not None:
        plugin.write_text(content, encoding="utf-8")
    assert run(monkeypatch, "evaluate", files[0], "-r", files[1], "-o", tmp_path / "rep", "--plugin", plugin) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("caloforge: ")]
    assert words in line
    assert str(plugin) in line
    assert not (tmp_path / "rep").exists()


def test_the_older_name_of_the_baseline_still_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: tuple[Path, Path]
) -> None:
    for option in ("--baseline", "--floor"):
        assert run(monkeypatch, "evaluate", files[0], "-r", files[1], option, "absent.h5", "--classifiers", "none") == 2
        assert "absent.h5" in capsys.readouterr().err
    assert run(monkeypatch, "evaluate", "--help") == 0
    assert "--floor" not in capsys.readouterr().out


def test_an_input_inside_the_output_is_refused(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "evaluate", files[0], "-r", files[1], "-o", tmp_path, "--overwrite") == 2
    assert str(files[0]) in capsys.readouterr().err
    assert files[0].exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--classifiers", "caloman,none"), "--classifiers 'caloman,none'"),
        (("--classifiers", "wizard"), "'wizard'"),
        (("--classifiers", "none", "--learning-curve"), "--learning-curve"),
        (("--only-energies", "2GeV:1GeV"), "2GeV:1GeV"),
        (("--only-energies", "much"), "'much'"),
        (("--baseline", "absent.h5"), "absent.h5"),
        (("--geometry", "ds2", "--classifiers", "none"), "--geometry ds2 (6480 voxels)"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    out = tmp_path / "rep"
    assert run(monkeypatch, "evaluate", files[0], "-r", files[1], "-o", out, *options) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("caloforge: ")]
    assert words in line
    assert not out.exists()


def test_an_impossible_folder_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    for out in (taken, taken / "rep"):
        assert run(monkeypatch, "evaluate", "absent.h5", "-r", "absent-too.h5", "-o", out) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(taken) in line
    assert taken.read_text(encoding="utf-8") == "mine"


def test_published_numbers_are_of_known_data_sets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {each.value for each in Published} == {*DATA_SETS, "none"}
    assert run(monkeypatch, "compare", "absent", "--published", "ds9") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'ds9'" in line
    assert "ds1-pions" in line


def test_comparing_showers_says_what_is_wanted(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "compare", files[0]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "caloforge evaluate generated.h5" in line


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, None), ("none", []), ("caloman", ["caloman"]), ("a, b,a", ["a", "b"])],
)
def test_names(text: str | None, found: list[str] | None) -> None:
    assert parse_names(text) == found


def test_energies_and_ranges() -> None:
    found = parse_energies("512, 1GeV,4GeV:8GeV")
    assert np.array_equal(found[:2], [512, 1000])
    assert found[2] == (4000, 8000)
    with pytest.raises(CaloforgeError):
        parse_energies("1,,2")


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (89.6, "90 s"), (720, "12 min"), (12_240, "3.4 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_slow_epochs_say_how_long_they_will_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("caloforge.cli.evaluate.time.monotonic", lambda: clock[0])
    bar = progress_bar()
    tell = Sections(bar)
    tell("classifier caloman", 0, 10)
    for epoch in (1, 2):
        clock[0] += 60
        tell("classifier caloman", epoch, 10)
        assert bar.tasks[0].fields["remark"] == f"about {10 - epoch} min"
    tell("figures", 0, 1)
    assert bar.tasks[0].finished  # it stopped early
    clock[0] += 5
    tell("figures", 1, 1)
    assert bar.tasks[1].fields["remark"] == ""


def test_expected_time_counts_baseline_and_curve(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # A second per shower of a sample: 300 here, 150 for the baseline, and 37.5 + 75 + 150 more for the curve.
    monkeypatch.setattr("caloforge.classifiers.expected_seconds", lambda test, n, shape, repeats: 1.0 * n)
    (plain,) = expected_times(["caloman", "quick"], [files[0]], files[1], None, None, 1, False)
    (curve,) = expected_times(["caloman"], [files[0]], files[1], None, None, 1, True)
    assert duration(450) in plain
    assert duration(712.5) in curve
    assert all(line.startswith("classifier caloman: ") for line in (plain, curve))


def test_log_files_get_plain_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr("caloforge.cli.evaluate.time.monotonic", lambda: clock[0])
    tell = Lines()
    for epoch in range(4):
        tell("classifier caloman", epoch, 10)
        clock[0] += 45
    tell("figures", 0, 1)
    tell("figures", 1, 1)
    said = capsys.readouterr().err.splitlines()
    assert said == ["classifier caloman", "classifier caloman: 2 of 10, about 6 min left", "figures"]
