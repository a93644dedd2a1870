"""Images to shards: sources, where each image goes, the processes that encode it."""
