"""Pure functions on tensors: rotations, transfer functions, noise. Knows nothing of files or configs."""
