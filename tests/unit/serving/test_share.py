"""Which entities a challenger scores: always the same ones, as many as is said, whole rankings."""

from __future__ import annotations

import pytest

from proml_kedro.serving.http.share import Share

ROWS = [{"user": number} for number in range(4000)]


def test_the_same_entities_whatever_else_is_asked_for() -> None:
    share = Share(0.25, "user", "visit.user", "a:1")
    chosen = share.chosen(ROWS, together=False)
    assert 850 < len(chosen) < 1150  # 1000 with a standard deviation of 27
    assert [number for number, row in enumerate(ROWS) if share.chosen([row], together=False)] == chosen
    assert share.chosen([{"visit.user": row["user"]} for row in ROWS], together=False) == chosen


def test_more_are_added_to_those_that_are_there_and_another_challenger_has_others() -> None:
    few, many = (set(Share(part, "user", "", "a:1").chosen(ROWS, together=False)) for part in (0.1, 0.3))
    assert few < many
    other = set(Share(0.1, "user", "", "b:1").chosen(ROWS, together=False))
    assert len(few & other) < 90  # 40 by chance


@pytest.mark.parametrize("together", [True, False])
def test_all_of_them_and_those_without_a_key(together: bool) -> None:
    nobody = [{"user": None}, {}]
    assert Share(1, "user", "", "a:1").chosen(nobody, together) == [0, 1]
    assert Share(0.999, "user", "", "a:1").chosen(nobody, together) == []


def test_candidates_are_scored_by_one_model() -> None:
    share = Share(0.5, "user", "", "a:1")
    (one, *_) = share.chosen(ROWS, together=False)
    (other,) = [number for number in (0, 1, 2, 3, 4, 5, 6, 7) if not share.chosen([ROWS[number]], together=True)][:1]
    assert share.chosen([ROWS[one]] * 3, together=True) == [0, 1, 2]
    assert share.chosen([ROWS[other]] * 3, together=True) == []
    assert share.chosen([ROWS[one], ROWS[one + 1]], together=True) == [], "of two entities"
