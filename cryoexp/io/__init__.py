"""Files <-> arrays that carry their voxel size and origin. Knows nothing of what the arrays are used for."""
