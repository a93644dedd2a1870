"""How good a network is: passes over a split, exact counts, metrics, a report."""
