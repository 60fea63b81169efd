"""Words that the field does not use stay out of code, help, errors, reports and documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = sorted(
    path
    for pattern in (
        "src/**/*.py",
        "src/**/*.j2",
        "src/**/*.js",
        "src/**/*.md",
        "docs/**/*.md",
        "recipes/*.yaml",
        "*.md",
    )
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md" and "_build" not in path.parts and not path.name.endswith(".min.js")  # of others
)
READERS_OF_OLD_FILES = ("report/legacy.py", "cli/renamed.py")
"""Files that must spell keys and options of earlier versions."""

WORDS = {
    r"(?<![-.\w])floors?\b(?!\()": "baseline (Geant4 vs Geant4); in benchmarks: lower bound",
    r"\bfloor_|_floor\b": "baseline",
    r"\b(showers )?a side\b": "per sample",
    r"\boff (the )?floor\b": "pull",
    r"\b[Tt]old apart\b": "distinguishable",
    r"\bhonest verdict\b": "evaluate",
    r"\b[Jj]udge[sd]? (generated )?showers\b": "evaluate",
    r"\b[Ll]aws? of (incident )?energ": "incident-energy spectrum",
    r"(?<!here )\bis no (?!longer|more|less|noise|second|natural|terminal|x |use|network)": "is not a valid …",
    r"\buser can mend\b": "user-correctable error",
    r"\btable of the lecture\b|\blecture's table\b|lecture_w1": "W1 over ten independent samples",
    r"\btraining file leaves\b": "training data used by the memorisation tests",
    r"\b(refusal|darkness|dark reference)\b": "unavailable, empty_reference",
    r"\bchance of nothing\b|\bgets? nothing with the chance\b": "a child energy is zero with probability p₀",
    r"\bteacher's way\b": "the teacher's trajectory",
    r"(?<!\")\bplaces\b(?! where)": "positional_bias; positions; decimals",
    r"\bcome to life\b": "posterior collapse; active latent dimensions",
    r"\b[Ll]ower(ed|ing)\b(?! (the|by|to|limit|bound))": "optimised for inference, for tracing",
    r"\brecorder\b": "tracing",
    r"\b[Pp]roducts in 8 bits\b": "int8-quantised matrix multiplications",
    r"\bRunge and Kutta\b": "RK4",
    r"\bSkilling and Hutchinson\b": "Hutchinson trace estimator",
    r"\brival of\b": "baseline",
    r"\bclock on the wall\b": "wall-clock time",
    r"\bpeers\b": "reference implementations",
    r"\bversion and leave\b": "version and exit",
    r"\bone behind the other\b": "concatenate",
    r"\blike a sheet\b": "split into contiguous ranges",
    r"\brubbish\b": "unreadable",
    r"\bworker's life\b": "worker main loop",
    r"\bat hand\b": "available",
    r"\bfor company\b": "for reference",
    r"\bSeed of everything\b": "random seed",
    r"\bgo(es|ing)? on from\b": "continue from",
    r"\bwithout the break\b": "uninterrupted",
    r"\b(have|has) one of (their|its) own\b": "set it themselves; have their own",
    r"\bas it stands\b": "complete; unchanged",
    r"\bknows? nothing of\b": "does not depend on",
    r"\bthrown? away\b": "discard",
    r"\bthe more so\b": "more strongly",
    r"\b[Mm]ake (showers|analytic)\b": "simulate, generate",
    r"\bwhere to draw\b": "axes to draw on",
    r"\bmodule's opening\b": "module docstring",
    r"\bvery commands?\b": "the commands",
    r"\bhonest (toleranc|verdict)": "realistic; evaluate",
    r"\b(any|some)body\b": "anyone, someone",
}
"""Pattern → what to write instead."""


@pytest.mark.parametrize("pattern", WORDS)
def test_words_of_the_field(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in TEXTS
        if not str(path).endswith(READERS_OF_OLD_FILES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, f"write '{WORDS[pattern]}':\n" + "\n".join(found)
