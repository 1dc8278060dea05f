"""How many examples a property-based test tries in each tier."""

from __future__ import annotations

import os

from hypothesis import settings

WHOLE = "PROML_KEDRO_TESTS_WHOLE"
"""Set when slow tests run too; by conftest.py, before tests are imported."""


def examples(fast: int, whole: int) -> settings:
    """Return settings that try ``fast`` examples among the fast tests, and ``whole`` ones when slow tests run too."""
    return settings(max_examples=whole if os.environ.get(WHOLE) else fast, deadline=None)
