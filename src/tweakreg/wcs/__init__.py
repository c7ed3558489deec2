"""The one door to gwcs and to tweakwcs' correctors.

`corrector` puts a correction into a WCS and takes it out, `adjust` changes one by hand, `footprint` says where pixels
lie, `sip` approximates, `identity` tells two apart.
"""
