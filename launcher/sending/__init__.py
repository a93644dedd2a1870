"""What changes a cluster: submit, suspend, and what goes before them."""
