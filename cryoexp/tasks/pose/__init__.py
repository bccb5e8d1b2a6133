"""Orientations of projections."""
