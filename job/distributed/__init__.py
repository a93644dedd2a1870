"""Several workers as one: who is there, what they must agree on, how gradients travel."""
