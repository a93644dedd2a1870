"""Requests to answers: an exported model behind HTTP, one process, batches made as they come."""
