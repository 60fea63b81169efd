"""A sample generated in parts on many machines, by Dask (`dask.distributed`, `dask-jobqueue`).

`where` opens a cluster or connects to one, `parts` says what a part and its maker are, `worker` runs on the machines of
the cluster, and `tasks` hands out the parts, retries them and counts. None of it depends on what is generated: commands
provide a `Work`. Dask is an extra (`caloforge[cluster]`), imported when a cluster is used.
"""
