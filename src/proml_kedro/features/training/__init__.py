"""Training sets: what was known of each example when it was to be predicted, joined in time."""

__all__ = ["leaks", "point_in_time", "training_set"]
