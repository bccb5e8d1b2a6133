"""Structures -> scene -> images: what a microscope would give, with the whole truth."""

VERSION = 2  # raise it when the same config would give other data: it is part of every cache key
