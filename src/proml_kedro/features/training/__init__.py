"""Training sets: what was known of each example when it was to be predicted, joined in time."""

__all__ = ["as_of", "join", "labels", "leaks", "on_engine", "point_in_time", "requested", "telling", "training_set"]
