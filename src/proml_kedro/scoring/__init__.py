"""Scores of whole tables by a bundle: raw features or keys in, a file of scores out, in bounded memory, resumable."""

__all__ = ["job", "labelled", "score", "summary", "update"]
