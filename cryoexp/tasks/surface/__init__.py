"""From a tomogram and a few labelled slices to a measured surface."""
