"""Public data sets: `catalog` describes them, `record` fetches their files, `http` one file."""
