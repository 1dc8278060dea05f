"""Whether the data a model meets is the data it was made for."""
