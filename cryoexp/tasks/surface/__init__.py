"""From labelled slices to measured surfaces."""
