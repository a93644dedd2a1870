"""All runs below a run root: found, read, selected, compared. The run directory is the unit."""
