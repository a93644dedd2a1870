"""How any command starts, stops and shows how far it is; knows nothing of images or networks."""
