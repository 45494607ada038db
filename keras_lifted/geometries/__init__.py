"""Geometries of the weight step."""
