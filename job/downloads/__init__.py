"""What is fetched once over HTTP: archives, continued and verified."""
