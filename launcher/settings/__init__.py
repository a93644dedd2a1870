"""What can be set for a job: fields, values, launcher.yaml, questions."""
