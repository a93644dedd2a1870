"""Images of a bucket to predictions: listing, parts, the pipeline between them."""
