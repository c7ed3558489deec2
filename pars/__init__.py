"""Parameter reference files that ship with the package, all made from ``table.ecsv``."""
