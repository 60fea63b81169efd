"""Public data sets: `catalog` describes them, `record` downloads their files, `http` downloads one file."""
