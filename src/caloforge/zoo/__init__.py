"""Trained runs with a name: those in the package and those that were downloaded, each with a card that describes it."""

from __future__ import annotations

from caloforge.zoo.shelf import find_run, load, models

__all__ = ["find_run", "load", "models"]
