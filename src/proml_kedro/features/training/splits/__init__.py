"""Ways to divide examples, a file each."""

__all__: list[str] = []
