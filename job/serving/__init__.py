"""The model as it leaves: a SavedModel with its own preprocessing, and its files."""
