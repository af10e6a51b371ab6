"""The benchmark of planners: problems, environments, adapters, the cells that are run, and what is said of them."""
