"""Functions of columns: the one implementation that on-demand features and producers share.

Numbers are floating point of shape (n,), vectors of shape (n, size); NaN is missing, and so is whatever has no finite
result. Text is an object array of shape (n,) with None for missing.
"""

__all__ = ["dates", "expressions", "functions", "numbers", "texts", "vectors"]
