"""What Hydra, OmegaConf and PyYAML object to, in words for the user and with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from proml_kedro.config.defaults import read_choices
from proml_kedro.config.folders import MAIN, Folders
from proml_kedro.config.overrides import Override
from proml_kedro.errors import Mistake, first_line, unknown


def explain(error: Exception, folders: Folders, choices: Sequence[Override]) -> list[Mistake]:
    """Explain an error of the composition; the result has at least one mistake.

    Args:
        error: What was raised.
        folders: Where the files are.
        choices: The choices of files that were asked for.
    """
    return list(_unreadable_files(folders)) or [
        _missing_file(error, folders) or _group_not_listed(error, folders, choices) or _anything_else(error)
    ]


def _unreadable_files(folders: Folders) -> Iterator[Mistake]:
    """Find every file that is not YAML, or not keys and values."""
    for file in sorted(folders.own.rglob("*.yaml")):
        label = folders.label(file)
        message = _check_file(file)
        if message:
            line, text = message
            yield Mistake("", text, f"{label}:{line}")


def _check_file(file: Path) -> tuple[int, str] | None:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError, YAMLError

    try:
        content = OmegaConf.load(file)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return (mark.line + 1 if mark else 1), f"not valid YAML: {error.problem or error.context}"
    except UnicodeDecodeError:
        return 1, "not a text file in UTF-8"
    except OmegaConfBaseException as error:
        return _line_of_interpolation(file, error), f"cannot read an interpolation: {first_line(error)}"
    except (YAMLError, OSError, ValueError) as error:  # of numbers with thousands of digits too
        return 1, f"cannot be read: {first_line(error)}"
    return None if OmegaConf.is_dict(content) else (1, "must hold keys and values, written KEY: VALUE")


def _line_of_interpolation(file: Path, error: Exception) -> int:
    text = re.search(r"'(\$\{[^']*)'", str(error))
    if text:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if text[1] in line:
                return number
    return 1


def _missing_file(error: Exception, folders: Folders) -> Mistake | None:
    """Explain a defaults list that names a file which does not exist."""
    missing = getattr(error, "missing_cfg_file", None)
    if not missing:
        return None
    group, _, option = str(missing).rpartition("/")
    message = unknown(group, option, folders.options(group)) if group else f"no file '{option}.yaml'"
    return Mistake("", message, _place_in_defaults(folders, group, option))


def _place_in_defaults(folders: Folders, group: str, option: str) -> str | None:
    files = [folders.own / MAIN, *sorted(folders.own.rglob("*.yaml"))]
    for wanted in (option, None):  # first the very name, then an interpolation that may have become it
        for file in files:
            for entry in read_choices(file):
                written = entry.option or ""
                if entry.folder == group and (written == wanted or (wanted is None and "${" in written)):
                    return f"{folders.label(file)}:{entry.line}"
    return None


def _group_not_listed(error: Exception, folders: Folders, choices: Sequence[Override]) -> Mistake | None:
    match = re.search(r"Could not (?:override|delete) '([^'=]+)", str(error))
    if not match:
        return None
    group = match[1]
    where = next((choice.where for choice in choices if choice.group == group), None)
    main = folders.label(folders.own / MAIN)
    return Mistake("", f"{main} lists no '{group}' under defaults; choose it with +{group}=NAME", where)


def _anything_else(error: Exception) -> Mistake:
    cause = error.__cause__
    text = first_line(error) or (first_line(cause) if cause else type(error).__name__)
    return Mistake("", text, "configuration")


_KEY = re.compile(r"Interpolation key '([^']+)' not found")
_RESOLVER = re.compile(r"Unsupported interpolation type (\S+)")
_VARIABLE = re.compile(r"Environment variable '([^']+)' not found")


def named_in(error: Exception) -> str:
    """Name the key, resolver or variable that an interpolation did not find; empty when the error names none."""
    found = (pattern.search(first_line(error)) for pattern in (_KEY, _RESOLVER, _VARIABLE))
    return next((match[1] for match in found if match), "")


def explain_interpolation(error: Exception, known: Iterable[str]) -> str:
    """Explain why an interpolation cannot be resolved.

    Args:
        error: What OmegaConf raised.
        known: The dotted keys there are.
    """
    text = first_line(error)
    if key := _KEY.search(text):
        return f"${{{key[1]}}} leads nowhere: {unknown('key', key[1], known)}"
    if resolver := _RESOLVER.search(text):
        return f"unknown resolver '{resolver[1]}'; there are oc.env, oc.select, oc.decode and others of OmegaConf's"
    if variable := _VARIABLE.search(text):
        return f"environment variable '{variable[1]}' is not set; give a default with ${{oc.env:{variable[1]},DEFAULT}}"
    if isinstance(error, RecursionError) or "Recursive interpolation" in text:
        return "leads back to itself"
    return f"cannot be resolved: {text}"
