"""What knows stpipe libraries, datamodels and files."""
