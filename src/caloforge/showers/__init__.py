"""`Showers`: the value that flows through everything, and the HDF5 files it lives in.

`ShowerFile` reads by chunks and checks every value it hands out, `ShowerFiles` reads several files as one, and
`ShowerWriter` appends by chunks, so none needs memory for a whole file. Two layouts are read (`layouts`); the
challenge's is written, gzip-compressed, with attributes that say where the showers came from.
"""

from caloforge.showers.reading import ShowerFile, Showers
from caloforge.showers.several import ShowerFiles, matching_files
from caloforge.showers.writing import ShowerWriter, geometry_attribute

__all__ = ["ShowerFile", "ShowerFiles", "ShowerWriter", "Showers", "geometry_attribute", "matching_files"]
