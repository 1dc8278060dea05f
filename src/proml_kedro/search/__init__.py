"""Searches: which of many variations of a model is the best one, as the validation part of the split has it.

:mod:`~proml_kedro.search.space` says what varies, :mod:`~proml_kedro.search.propose` which combination is next,
:mod:`~proml_kedro.search.bench` how good one is, and :mod:`~proml_kedro.search.study` keeps all that on disk.
:mod:`~proml_kedro.search.explore` is the loop around them.
"""

from proml_kedro.search.explore import Search, open_search

__all__ = ["Search", "importance", "judge", "open_search", "page", "report", "space"]
