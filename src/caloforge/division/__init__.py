"""How the energy of a shower divides among layers, rings and voxels: exact sums, and tables of what a part gets."""
