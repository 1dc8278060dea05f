"""Errors name the place, the key and a way out."""

import time

import click
import pytest
from click.testing import CliRunner

from proml_kedro.errors import Mistake, UserError, did_you_mean, masked, unknown


def test_a_mistake_reads_as_one_line():
    mistake = Mistake("model.score", "no component 'tree'", "conf/model/x.yaml:3")
    assert str(mistake) == "conf/model/x.yaml:3: model.score: no component 'tree'"
    assert str(Mistake("", "no such folder")) == "no such folder"


def test_all_mistakes_are_shown_and_the_exit_code_is_2():
    @click.command()
    def command():
        raise UserError(Mistake("a", "first"), Mistake("b", "second"))

    outcome = CliRunner().invoke(command)
    assert outcome.exit_code == 2
    assert outcome.stderr == "a: first\nb: second\n"
    assert outcome.stdout == ""


def test_locating_fills_in_only_what_is_not_known_yet():
    error = UserError(Mistake("a", "first"), Mistake("b", "second", "there:1"), Mistake("", "third"))
    error.locate(lambda key: f"conf/{key}.yaml:7")
    assert [mistake.where for mistake in error.mistakes] == ["conf/a.yaml:7", "there:1", None]
    assert str(error).startswith("conf/a.yaml:7: a: first")


def test_suggestions():
    assert did_you_mean("learnin_rate", ["learning_rate", "max_depth"]) == " Did you mean 'learning_rate'?"
    assert did_you_mean("zzz", ["b", "a"]) == " Known: a, b."
    assert did_you_mean("zzz", map(str, range(100))) == ""
    assert unknown("table", "flight", ["flights"]) == "no table 'flight'. Did you mean 'flights'?"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://me:hunter2@host:6379/0", "redis://me:…@host:6379/0"),
        ("redis://:hunter2@host", "redis://:…@host"),
        ("redis://me:hun/ter@2@host/0", "redis://me:…@host/0"),
        ("'a://b/c,redis://me:hunter2@host' and postgres://x:y@z", "'a://b/c,redis://me:…@host' and postgres://x:…@z"),
        ("http://host:80/path and me@host", "http://host:80/path and me@host"),
        ("redis://me@host", "redis://me@host"),
    ],
)
def test_passwords_of_every_form_are_masked(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize("part", ["x", "x://", "x://a:", ":@://", "x://a:b@ ", "'"])
def test_masking_takes_time_in_proportion_to_the_text(part):
    text = part * 200_000 + "@"
    started = time.process_time()
    masked(text)
    assert time.process_time() - started < 2


def test_a_message_is_one_line_of_bounded_length():
    line = str(Mistake("key", "first\nsecond \x1b[31m" + "x" * 1_000_000, "there:1"))
    assert line.startswith("there:1: key: first\\nsecond \\x1b[31mx")
    assert len(line) < 2100


def test_of_very_many_mistakes_the_first_are_shown():
    started = time.process_time()
    lines = str(
        UserError(*(Mistake("a", "b", f"{number % 1000}.yaml:{number}") for number in range(20_000)))
    ).splitlines()
    assert time.process_time() - started < 2
    assert len(lines) == 101
    assert lines[-1] == "and 19,900 more mistakes"


def test_no_suggestion_for_words_that_are_none():
    assert did_you_mean("x" * 40_000, map(str, range(10_000))) == ""
    assert len(unknown("table", "x" * 40_000, ["a"])) < 120


def test_a_password_in_a_url_is_never_shown():
    mistake = Mistake("online_store", "no", "override 'online_store=redis://me:hunter2@host:6379/0'")
    assert str(mistake) == "override 'online_store=redis://me:…@host:6379/0': online_store: no"


def test_a_suggestion_is_never_what_was_written():
    assert did_you_mean("features", ["features", "rank"]) == " Known: rank."
    assert did_you_mean("features", ["features", "feature"]) == " Did you mean 'feature'?"


def test_mistakes_of_a_file_are_shown_by_line_in_their_places_among_others():
    mistakes = [
        Mistake("", one, where) for one, where in [("c", "a.yaml:10"), ("x", "override 'y:1'"), ("a", "a.yaml:9")]
    ]
    assert str(UserError(*mistakes)).splitlines() == ["a.yaml:9: a", "override 'y:1': x", "a.yaml:10: c"]
