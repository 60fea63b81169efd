"""Evaluation of point clouds: showers as hits, and jets as particles, against a reference."""

from caloforge.evaluation.clouds_of_points.evaluate_clouds import TABLES, evaluate_clouds, is_of_points

__all__ = ["TABLES", "evaluate_clouds", "is_of_points"]
