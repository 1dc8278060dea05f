"""A run without Kedro: its steps, and the recipes by which results are found again."""

__all__ = ["code", "recipes", "stored"]
