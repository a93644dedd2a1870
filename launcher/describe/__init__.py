"""From settings to a JobSpec, and what it will take."""
