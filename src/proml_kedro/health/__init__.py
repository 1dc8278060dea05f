"""Whether the data a model meets is the data it was made for."""

__all__ = [
    "alerts",
    "anomalies",
    "calibrate",
    "check",
    "check_table",
    "diagnosis",
    "drift",
    "evidently_report",
    "over_time",
    "periods",
    "read_current",
    "reference",
    "report",
]
