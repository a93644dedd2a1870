"""The cluster's API: the connection, its verbs, its errors. The only importer of `kubernetes`."""
