"""Networks and their mathematics, one file per kind; independent of recipes and training."""
