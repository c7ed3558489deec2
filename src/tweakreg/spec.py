"""The step's parameters as stpipe reads them: name, type, bounds, default, and what each is for."""

import ast
import re
from typing import Any

SPEC = """
    # Source finding
    save_catalogs = boolean(default=False) # Write the sources that were found, and those that the limits of the finder rejected
    use_custom_catalogs = boolean(default=False) # Use the catalogs named in catfile, in the association or in the exposures instead of finding sources
    catalog_format = string(default='ecsv') # Format of the catalogs that are written: ecsv or fits
    dqbits = string(default='') # Bits of DQ that do no harm, as astropy's bitmasks are written; empty for those of the instrument
    catfile = string(default='') # File with two columns, exposure and catalog; needs use_custom_catalogs
    xcol = string(default='') # Column of custom catalogs with x, by name or number from 1, empty for x, xcentroid or x_centroid
    ycol = string(default='') # Column of custom catalogs with y, as xcol
    fluxcol = string(default='') # Column of custom catalogs with the flux, empty for flux
    xyunits = option('pixels', 'degrees', default='pixels') # Units of xcol and ycol: pixels, or right ascension and declination in degrees
    pixel_origin = option('0', '1', default='0') # Pixel coordinate of the centre of the first pixel in custom catalogs and those of refimage
    fluxunits = option('flux', 'counts', 'cps', 'mag', default='flux') # Units of fluxcol: with mag the smallest values are the brightest
    minflux = float(min=-1e30, max=1e30, default=None) # Leave out sources below this flux or magnitude
    maxflux = float(min=-1e30, max=1e30, default=None) # Leave out sources above this flux or magnitude
    nbright = integer(min=1, max=1000000000, default=None) # Keep this many of the brightest sources of each group, None for all
    starfinder = option('dao', 'iraf', 'segmentation', default='iraf') # Algorithm that finds sources
    snr_threshold = float(min=0.0, max=1000000.0, default=10.0) # Detection threshold in standard deviations of the background
    kernel_fwhm = float(min=0.0, max=30.0, default=2.5) # Width (FWHM) of a point source, pixels
    bkg_boxsize = integer(min=1, max=100000, default=400) # Side of the boxes in which the background is estimated, pixels

    # Source finding, dao and iraf only
    minsep_fwhm = float(min=0.0, max=20.0, default=0.0) # Smallest separation of two detections, in kernel_fwhm
    sigma_radius = float(min=0.0, max=10.0, default=1.5) # Radius at which the kernel is cut off, in standard deviations
    sharplo = float(min=-100.0, max=100.0, default=0.5) # Lower bound on sharpness
    sharphi = float(min=-100.0, max=100.0, default=2.0) # Upper bound on sharpness
    roundlo = float(min=-100.0, max=100.0, default=0.0) # Lower bound on roundness
    roundhi = float(min=-100.0, max=100.0, default=0.2) # Upper bound on roundness
    brightest = integer(min=1, max=1000000000, default=200) # Keep this many of the brightest sources, None for all
    peakmax = float(min=-1e30, max=1e30, default=None) # Leave out sources with a pixel at or above this value

    # Source finding, segmentation only
    npixels = integer(min=1, max=1000000, default=10) # Smallest number of connected pixels that make a source
    connectivity = option('4', '8', default='8') # Whether pixels connect along edges (4) or also at corners (8)
    nlevels = integer(min=1, max=1024, default=32) # Number of levels for deblending
    contrast = float(min=0.0, max=1.0, default=0.001) # Share of the flux that a deblended source must have
    multithresh_mode = option('exponential', 'linear', 'sinh', default='exponential') # Spacing of the deblending levels
    localbkg_width = integer(min=0, max=100, default=0) # Width of the annulus for a local background, pixels, 0 for none
    apermask_method = option('correct', 'mask', 'none', default='correct') # What becomes of neighbours within an aperture
    kron_params = float_list(min=2, max=3, default=None) # Kron aperture: scale, smallest radius, smallest circular radius
    deblend = boolean(default=True) # Separate sources that touch

    # Alignment order
    enforce_user_order = boolean(default=False) # Take the first exposure as reference and the others in their order

    # Groups
    group_by = option('exposure', 'detector', 'image', default='exposure') # What receives one correction where the association does not say: all of an exposure, each of its detectors, or each image
    abs_group_by = option('exposure', 'detector', 'image', default='exposure') # What is tied to the reference catalog on its own once the exposures are aligned to each other, as group_by

    # Reference catalog of the relative alignment
    expand_refcat = boolean(default=False) # Match with the sources of all exposures aligned so far, not of the reference alone

    # Matching
    minobj = integer(min=1, max=1000000, default=15) # Smallest number of matches for a fit
    searchrad = float(min=0.0, max=600.0, default=2.0) # Radius in which the offset is sought, and up to the tolerance beyond, arcsec
    use2dhist = boolean(default=True) # Seek the offset in all of searchrad, otherwise within tolerance of xoffset and yoffset
    separation = float(min=0.0, max=600.0, default=1.0) # Sources nearer to each other than this are ambiguous at full tolerance, arcsec
    tolerance = float(min=0.0, max=60.0, default=0.7) # Largest distance of a match once the offset is known, arcsec
    xoffset = float(min=-3600.0, max=3600.0, default=0.0) # Expected offset image minus reference to the east, arcsec
    yoffset = float(min=-3600.0, max=3600.0, default=0.0) # Expected offset image minus reference to the north, arcsec

    # Fitting
    fitgeometry = option('shift', 'rshift', 'rscale', 'general', default='rshift') # What is fitted: shift, +rotation, +scale, or all of the matrix
    nclip = integer(min=0, max=100, default=3) # Largest number of clipping passes
    sigma = float(min=0.0, max=1000.0, default=3.0) # Clipping limit in units of the rms
    clip_accum = boolean(default=False) # Whether a clipped source stays out in later passes, in both alignments

    # Trust, in both alignments
    max_false_prob = float(min=0.0, max=1.0, default=0.001) # Refuse a match that chance explains with more than this probability
    max_rival = float(min=0.0, max=1.0, default=0.5) # Refuse a match if another offset has more than this share of its pairs
    max_misfit = float(min=0.0, max=1000.0, default=0.15) # Largest pattern that residuals of an image may have, pixels, smaller ones are in the stated error
    max_misfit_sigma = float(min=0.0, max=1000000.0, default=3.0) # And in units of the stated error, both must be exceeded for a misfit
    max_worsening = float(min=0.0, max=1000000.0, default=3.0) # Refuse a fit that makes held-out sources worse by more than this, in standard errors

    # Absolute alignment
    abs_refcat = string(default='') # Reference catalog: a file, GAIADR3, GAIADR2, GAIADR1, GAIAREFCAT, GAIADR3_S3, URL or folder of a HATS catalog; empty for none
    abs_fallback = string(default='') # Reference catalogs to try in this order where abs_refcat does not answer, separated by commas
    refimage = string(default='') # Image whose sources are the reference, instead of abs_refcat; it is not changed
    save_abs_catalog = boolean(default=False) # Write the reference catalog that was used
    abs_minobj = integer(min=1, max=1000000, default=15) # As minobj, for the absolute alignment
    abs_fitgeometry = option('shift', 'rshift', 'rscale', 'general', default='rshift') # As fitgeometry, for the absolute alignment
    abs_nclip = integer(min=0, max=100, default=3) # As nclip, for the absolute alignment
    abs_sigma = float(min=0.0, max=1000.0, default=3.0) # As sigma, for the absolute alignment
    abs_searchrad = float(min=0.0, max=600.0, default=6.0) # As searchrad, for the absolute alignment
    abs_use2dhist = boolean(default=True) # As use2dhist, for the absolute alignment
    abs_xoffset = float(min=-3600.0, max=3600.0, default=0.0) # As xoffset, for the absolute alignment; where it finds none, xoffset and yoffset are tried
    abs_yoffset = float(min=-3600.0, max=3600.0, default=0.0) # As yoffset, for the absolute alignment
    abs_separation = float(min=0.0, max=600.0, default=1.0) # As separation, for the absolute alignment
    abs_tolerance = float(min=0.0, max=60.0, default=0.7) # As tolerance, for the absolute alignment
    abs_weighted = boolean(default=True) # Weight stars by the errors of the reference catalog, where it has any
    abs_error_floor = float(min=0.0, max=100000.0, default=None) # Error added to those of the catalog in quadrature, mas, None for what the residuals say

    # Reference catalog of the absolute alignment
    refxcol = string(default='') # Column with the right ascension, by name or number from 1, empty for the usual names
    refycol = string(default='') # Column with the declination, as refxcol
    rfluxcol = string(default='') # Column for rminflux, rmaxflux and refnbright, empty for the magnitude
    refxyunits = option('degrees', 'hours', 'pixels', default='degrees') # Units of refxcol and refycol: hours of right ascension, or pixels of refimage
    rfluxunits = option('mag', 'flux', 'counts', 'cps', default='mag') # Units of rfluxcol: with mag the smallest values are the brightest
    rminflux = float(min=-1e30, max=1e30, default=None) # Leave out stars below this magnitude or flux
    rmaxflux = float(min=-1e30, max=1e30, default=None) # Leave out stars above this magnitude or flux
    refnbright = integer(min=1, max=1000000000, default=None) # Keep this many of the brightest stars, None for all
    abs_max_ruwe = float(min=0.0, max=1000000.0, default=None) # Leave out stars with a larger RUWE, None for no limit
    abs_drop_duplicates = boolean(default=False) # Leave out stars that the catalog marks as duplicated
    service_timeout = float(min=0.0, max=3600.0, default=30.0) # Longest wait for one answer of a service, seconds
    service_retries = integer(min=0, max=20, default=2) # How often a service is asked again
    refcat_cache = string(default='') # Folder for what services answered, empty for the platform's cache folder, none for no cache

    # FITS SIP approximation
    sip_approx = boolean(default=True) # Write a SIP approximation of the WCS
    sip_max_pix_error = float(min=0.0, max=1000.0, default=0.01) # Largest error of the approximation, pixels
    sip_degree = integer(min=1, max=6, default=None) # Degree of the polynomial, None for the lowest that is good enough
    sip_max_inv_pix_error = float(min=0.0, max=1000.0, default=0.01) # Largest error of the inverse, pixels
    sip_inv_degree = integer(min=1, max=6, default=None) # Degree of the inverse polynomial, None for the lowest that is good enough
    sip_npoints = integer(min=3, max=256, default=12) # Points per axis for the fit of the polynomials

    # Results
    save_fit_summary = boolean(default=True) # Write a table of all fits beside the results: a row per image and stage
    save_matches = boolean(default=False) # Write a table of matched sources and residuals per image
    save_refcat = boolean(default=False) # Write the stars that were matched with, catalog and exposures, as a table
    save_correction = boolean(default=False) # Write a correction per group, to be applied elsewhere or undone
    save_plots = boolean(default=False) # Draw residuals, vectors, matches and footprints: a PNG per image and stage, and one of the sky
    save_report = boolean(default=False) # Write a page about the run, one HTML file with everything in it
    wcsname = string(default='') # Name of a corrected WCS, empty for FIT-LVL3- and abs_refcat where that ties it
    in_place = boolean(default=False) # Replace the exposures by their results, under their own names
    on_failure = option('warn', 'skip', 'error', default='warn') # What follows from images that fail: FAILED, SKIPPED, or exit code 3
    dry_run = boolean(default=False) # Do everything but change and write exposures
    restart = boolean(default=False) # Start from the original pointing of exposures that were corrected before

    # Running the step
    output_ext = string(default='.fits') # Type of the results
    output_use_model = boolean(default=True) # Name the results after the exposures
    maximum_cores = string(default='none') # Processes that find sources: none, quarter, half or all of the cores, or a number
    in_memory = boolean(default=True) # Keep exposures in memory, otherwise in temporary files
"""

#: The value of each parameter that nobody sets: this is the one place where it stands.
DEFAULTS: dict[str, Any] = {
    name: ast.literal_eval(default)
    for name, default in re.findall(r"^\s*(\w+) = \w+\(.*default=(.*)\) #", SPEC, re.MULTILINE)
}
