"""Networks and their mathematics, one file per kind; at most they know the voxels, but no recipe and no training."""
