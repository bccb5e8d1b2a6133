"""Label every voxel of a tomogram."""
