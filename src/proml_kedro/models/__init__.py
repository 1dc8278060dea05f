"""Components, and the graph that a model makes of them."""
