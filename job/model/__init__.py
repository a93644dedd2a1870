"""VGG19: its variables, its arithmetic, and where its weights come from."""
