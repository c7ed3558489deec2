"""The one door to gwcs and to tweakwcs' correctors."""
