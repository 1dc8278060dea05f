"""Whether the data a model meets is the data it was made for."""

__all__ = ["calibrate", "check", "drift", "evidently_report", "periods", "read_current", "report"]
