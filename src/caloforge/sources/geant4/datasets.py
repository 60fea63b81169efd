"""Geant4 data sets: which ones a run needs, where they are, and the settings that Geant4 needs for them.

Geant4 finds its physics tables through one environment variable per data set. geant4-pybind asks on standard
input whether to download missing ones *when it is imported*. The data sets are therefore located here first, and
every variable is set before the import; data sets that are neither needed nor present are set to an empty folder.

A folder given by the user may be a full installation (one sub-folder per data set, directly or under
`share/Geant4/data`) or a reduced one. Since release 11.4 Geant4 reads photoelectric and Rayleigh tables from EPICS
2017; data sets with only the older Livermore tables need a command before initialisation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caloforge.errors import CaloforgeError, either
from caloforge.files import real


@dataclass(frozen=True)
class Geant4DataSet:
    """A Geant4 data set: folder `name` + `version`, environment variable, and MD5 checksum of the archive."""

    name: str
    version: str
    variable: str
    md5: str

    @property
    def folder(self) -> str:
        return self.name + self.version

    @property
    def archive(self) -> str:
        stem = self.name if self.name.startswith("G4") else f"G4{self.name}"
        return f"{stem}.{self.version}.tar.gz"


DATA_SETS = (
    Geant4DataSet("G4NDL", "4.7.1", "G4NEUTRONHPDATA", "54f0ed3995856f02433d42ec96d70bc6"),
    Geant4DataSet("G4EMLOW", "8.8", "G4LEDATA", "328330009df633f7e9b3a9f445745298"),
    Geant4DataSet("PhotonEvaporation", "6.1.2", "G4LEVELGAMMADATA", "d80ba9bdefcf9e23487a26adfa273304"),
    Geant4DataSet("RadioactiveDecay", "6.1.2", "G4RADIOACTIVEDATA", "20d494f73d4bddabd7fab5c06a58895c"),
    Geant4DataSet("G4PARTICLEXS", "4.2", "G4PARTICLEXSDATA", "b63341cc97a472b04ff607b094493174"),
    Geant4DataSet("G4PII", "1.3", "G4PIIDATA", "05f2471dbcdf1a2b17cbff84e8e83b37"),
    Geant4DataSet("RealSurface", "2.2", "G4REALSURFACEDATA", "ea8f1cfa8d8aafd64b71fb30b3e8a6d9"),
    Geant4DataSet("G4SAIDDATA", "2.0", "G4SAIDXSDATA", "d5d4e9541120c274aeed038c621d39da"),
    Geant4DataSet("G4ABLA", "3.3", "G4ABLADATA", "b25d093339e1e4532e31038653580ca6"),
    Geant4DataSet("G4INCL", "1.3", "G4INCLDATA", "72c3ff5f7f1e6f727f2ebf3b11ce784f"),
    Geant4DataSet("G4ENSDFSTATE", "3.0", "G4ENSDFSTATEDATA", "c500728534ce3e9fb2fefa0112eb3a74"),
    Geant4DataSet("G4CHANNELING", "2.0", "G4CHANNELINGDATA", "e853fbcba1e8640f7c3a437253955482"),
)
"""The data sets of Geant4 11.4 (as in geant4-pybind 0.1.3), with the checksums published by Geant4."""

ELECTROMAGNETIC = ("e-", "e+", "gamma")
HADRONS = ("pi+", "pi-", "kaon+", "kaon-", "proton", "anti_proton", "neutron")

_NEEDED = {
    "G4EmStandardPhysics": ("G4LEDATA", "G4ENSDFSTATEDATA"),
    "FTFP_BERT": ("G4LEDATA", "G4ENSDFSTATEDATA", "G4PARTICLEXSDATA", "G4LEVELGAMMADATA"),
}

USUAL_FOLDER = Path("~/.geant4_pybind")
"""Where geant4-pybind keeps its data sets."""

FOLDER_VARIABLE = "GEANT4_DATA_DIR"
"""Environment variable with the folder that holds all data sets."""


def physics_list_for(particle: str) -> str:
    """`G4EmStandardPhysics` for e-, e+ and gamma, `FTFP_BERT` for hadrons.

    Raises:
        CaloforgeError: the particle is unknown.
    """
    if particle in ELECTROMAGNETIC:
        return "G4EmStandardPhysics"
    if particle in HADRONS:
        return "FTFP_BERT"
    raise CaloforgeError(f"unknown particle '{particle}': give one of {', '.join(ELECTROMAGNETIC + HADRONS)}")


@dataclass(frozen=True)
class FoundData:
    """Data sets found, as variable → folder; `origin` describes where they were searched for."""

    folders: Mapping[str, str]
    origin: str

    def missing(self, physics_list: str) -> tuple[Geant4DataSet, ...]:
        """The data sets that `physics_list` needs and that were not found."""
        needed = _NEEDED[physics_list]
        return tuple(d for d in DATA_SETS if d.variable in needed and d.variable not in self.folders)

    def require(self, physics_list: str) -> None:
        """Raise a `CaloforgeError` that names all missing data sets and how to get them."""
        missing = self.missing(physics_list)
        if missing:
            names = ", ".join(f"{d.folder} ({d.variable})" for d in missing)
            raise CaloforgeError(
                f"{physics_list} needs Geant4's data set{'s' * (len(missing) > 1)} {names}, not found in "
                f"{self.origin}: {_remedy()}"
            )
        self.em_commands()

    @property
    def _em(self) -> Path:
        return Path(self.folders["G4LEDATA"])

    @property
    def em_model(self) -> str:
        """The photoelectric and Rayleigh tables in G4EMLOW: `epics_2017` (the default) or `livermore`."""
        if _filled(self._em / "epics2017" / "phot") and _filled(self._em / "epics2017" / "rayl"):
            return "epics_2017"
        if _filled(self._em / "livermore" / "phot_epics2014") and _filled(self._em / "livermore" / "rayl"):
            return "livermore"
        raise CaloforgeError(
            f"{self._em} contains neither epics2017/phot and rayl nor livermore/phot_epics2014 and rayl: Geant4 11.4 "
            "cannot use this G4EMLOW"
        )

    def em_commands(self) -> tuple[str, ...]:
        """Commands to send before initialisation, so that Geant4 reads the available tables."""
        return ("/process/em/LivermoreData livermore",) if self.em_model == "livermore" else ()

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers of the elements with bremsstrahlung tables."""
        found = (re.fullmatch(r"br(\d+)", path.name) for path in (self._em / "brem_SB").glob("br*"))
        return frozenset(int(match.group(1)) for match in found if match)

    def environment(self, empty: str) -> dict[str, str]:
        """Values of all Geant4 variables; `empty` is an empty folder for data sets that were not found."""
        # geant4-pybind does not start if the variable CI is "true", as on most build servers.
        return {"CI": "", **{d.variable: self.folders.get(d.variable, empty) for d in DATA_SETS}}

    def describe(self) -> str:
        """One line for an output's attributes: names and versions, tables, number of elements."""
        names = ", ".join(sorted(Path(folder).name for folder in self.folders.values()))
        extent = f"{len(self.elements)} elements" + (" only (reduced)" if len(self.elements) < 92 else "")
        return f"{names}; photoelectric and Rayleigh tables {self.em_model}; {extent}"


def _remedy() -> str:
    return either(
        f"give their folder with --geant4-data DIR or in the environment variable {FOLDER_VARIABLE}, or add "
        "--download-geant4-data",
        f"give their folder to find_data or in the environment variable {FOLDER_VARIABLE}, or fetch them with "
        "fetch_data.download",
    )


def find_data(folder: Path | None = None, environment: Mapping[str, str] | None = None) -> FoundData:
    """Locate the Geant4 data sets.

    Args:
        folder: the only folder to search; None searches Geant4's environment variables, then `GEANT4_DATA_DIR`, then
            geant4-pybind's own folder.
        environment: environment variables; None uses those of the process.

    Raises:
        CaloforgeError: `folder` is not a folder.
    """
    environment = os.environ if environment is None else environment
    if folder is not None:
        if not folder.is_dir():
            raise CaloforgeError(f"{folder} is not a directory")
        return FoundData(_search(folder), str(folder))
    home = USUAL_FOLDER.expanduser()
    roots = [Path(environment[FOLDER_VARIABLE])] if environment.get(FOLDER_VARIABLE) else []
    folders: dict[str, str] = {}
    for place in [home, *reversed(roots)]:
        folders |= _search(place)
    for data_set in DATA_SETS:
        value = environment.get(data_set.variable)
        if value and _filled(Path(value)):
            folders[data_set.variable] = str(real(Path(value)))
    return FoundData(folders, ", ".join(["Geant4's environment variables", *map(str, roots), str(USUAL_FOLDER)]))


def _search(folder: Path) -> dict[str, str]:
    """Variable → sub-folder of each data set in `folder`, or under share/Geant4*/data of an installation."""
    folders: dict[str, str] = {}
    roots = [folder, folder / "data", *sorted(folder.glob("share/Geant4*/data"))]
    for data_set in DATA_SETS:
        candidates = [root / data_set.folder for root in roots]
        for root in roots:
            # Other versions may work; Geant4 itself rejects one that is too old.
            candidates += sorted(root.glob(f"{data_set.name}[0-9]*"), reverse=True)
        found = next((path for path in candidates if _filled(path)), None)
        if found is not None:
            folders[data_set.variable] = str(real(found))
    return folders


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
