"""What a cluster is asked to generate: parts of a sample, one file each, and a `Work` that generates any of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Told = Callable[[int], None]
"""Called with the number of showers of a part so far."""


@dataclass(frozen=True)
class SamplePart:
    """One file.

    Args:
        number: counted from 0.
        file_name: in the folder of the sample.
        showers: number of showers.
    """

    number: int
    file_name: str
    showers: int


class Maker(ABC):
    """Generates parts in one worker process, once everything is loaded; several threads may call it at a time."""

    @abstractmethod
    def make(self, number: int, path: Path, keep: bool, told: Told) -> str:
        """Generate a part; its file appears once it is complete.

        Args:
            number: of the part.
            path: the file to write.
            keep: leave a complete file of this part as it is: an earlier attempt wrote it.
            told: called with the number of showers so far, as often as convenient.

        Returns:
            A remark for the user, or nothing ("").
        """

    @abstractmethod
    def close(self) -> None:
        """Free what was loaded."""


class Work(ABC):
    """A sample to generate in parts. It is pickled and sent to each worker once."""

    @abstractmethod
    def packages(self) -> dict[str, str]:
        """Packages on which the showers depend, and their versions here: a worker with others is refused."""

    @abstractmethod
    def start(self) -> Maker:
        """Load what all parts need; called once in each worker process. If it raises, the whole run ends."""


class Watcher:
    """Told about a run; these methods do nothing."""

    def opened(self, dashboard: str) -> None:
        """Connected; the address of Dask's dashboard."""

    def progress(self, showers: int, workers: int) -> None:
        """So many showers are generated, by so many workers; called several times a second, and may raise."""

    def retried(self, part: SamplePart, error: str) -> None:
        """An attempt has failed, and the part is tried again."""


@dataclass
class Result:
    """What became of the parts.

    Args:
        made: numbers of parts that were generated.
        failed: number of a part that failed every time → its last error.
        retried: number of attempts that failed or were lost.
        starts: worker → seconds that `Work.start` took.
        seconds: time spent on parts, summed over workers, without starts.
        remarks: of the makers, each once.
    """

    made: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    retried: int = 0
    starts: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
