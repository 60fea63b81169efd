"""`Shard`: one part of a sample that is generated in parts, one file each, wherever and in any order."""

from __future__ import annotations

from dataclasses import dataclass

from caloforge.errors import CaloforgeError


@dataclass(frozen=True)
class Shard:
    """Shard `number` (from 0) of `of`.

    Raises:
        CaloforgeError: the number is not 0 … of − 1.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if self.of < 1 or not 0 <= self.number < self.of:
            raise CaloforgeError(f"shard {self.number}/{self.of} does not exist: N shards are counted 0/N … (N-1)/N")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Shard from text such as `3/10`, the fourth of ten.

        Raises:
            CaloforgeError: the text has a different form.
        """
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal()):
            raise CaloforgeError(
                f"'{text}' is not a valid shard: give its number, from 0, and the number of shards, e.g. 0/10"
            )
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, n: int) -> tuple[int, int]:
        """Start and stop of its rows among the n showers of the sample.

        Raises:
            CaloforgeError: the shard is empty.
        """
        start, stop = self.number * n // self.of, (self.number + 1) * n // self.of
        if start == stop:
            raise CaloforgeError(f"shard {self} of {n} showers is empty: use fewer shards or more showers")
        return start, stop

    def file_name(self) -> str:
        """Its file name in a folder of shards."""
        return f"shard-{self.number:0{len(str(self.of - 1))}d}-of-{self.of}.h5"
