"""A dataset directory and reading it: descriptions, records, their order, and batches of pixels."""
