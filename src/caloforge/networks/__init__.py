"""Networks and their mathematics, one file per kind; they know voxels at most, nothing of recipes or training."""
