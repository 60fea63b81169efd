"""Conditions beyond the incident energy: `kinds` (what they are), `columns` (values), `laws` (how they are drawn)."""

from caloforge.conditions.columns import Columns
from caloforge.conditions.kinds import KNOWN, Condition

__all__ = ["KNOWN", "Columns", "Condition"]
