"""Orientations of single particles from learned pairwise distances."""
