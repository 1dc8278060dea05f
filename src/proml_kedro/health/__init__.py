"""Whether the data a model meets is the data it was made for."""

__all__ = ["drift", "evidently_report", "periods", "read_current", "report"]
