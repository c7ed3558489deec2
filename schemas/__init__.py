"""JSON schemas of the files that the package reads and writes."""
