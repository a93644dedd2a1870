"""What is known of a job now, read from the cluster and from run directories."""
