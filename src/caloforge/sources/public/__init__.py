"""Public data sets: `catalog` describes them, `record` finds and fetches their files, `http` downloads one file."""
