"""Formats of point files, one file each: how it is recognised and read, and how it is written."""

from __future__ import annotations

from caloforge.points.exchange.base import PointLayout, PointOutput
from caloforge.points.exchange.caloclouds_events import CalocloudsLayout, CalocloudsOutput
from caloforge.points.exchange.flat import FlatLayout, FlatOutput
from caloforge.points.exchange.jetnet import JetnetLayout, JetnetOutput
from caloforge.points.exchange.showerdata import ShowerdataLayout, ShowerdataOutput
from caloforge.points.exchange.step2point import Step2pointLayout, Step2pointOutput

LAYOUTS: tuple[type[PointLayout], ...] = (
    FlatLayout,
    JetnetLayout,
    Step2pointLayout,
    CalocloudsLayout,
    ShowerdataLayout,
)
"""In the order in which a file is compared with them."""

OUTPUTS: dict[str, type[PointOutput]] = {
    each.name: each for each in (FlatOutput, ShowerdataOutput, CalocloudsOutput, Step2pointOutput, JetnetOutput)
}
"""Formats that are written, by name."""
