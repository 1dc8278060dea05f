"""Source tables, windows, training sets that respect time, and online values."""
