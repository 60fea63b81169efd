"""`python -m caloforge` is the command `caloforge`."""

from caloforge.cli import main

main()
