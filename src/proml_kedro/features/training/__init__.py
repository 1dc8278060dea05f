"""Training sets: what was known of each example when it was to be predicted, joined in time."""

__all__ = ["join", "leaks", "point_in_time", "training_set"]
