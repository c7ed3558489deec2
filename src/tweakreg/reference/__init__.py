"""Reference catalogs."""
