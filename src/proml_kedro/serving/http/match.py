"""Whether a challenger can stand beside a champion, before either is loaded."""

from __future__ import annotations

from pathlib import Path

from proml_kedro.bundle import Manifest
from proml_kedro.errors import Mistake, UserError, did_you_mean
from proml_kedro.results.names import MANIFEST
from proml_kedro.spec import ChallengerSpec

_KEY = "serving.challenger"


def matched(spec: ChallengerSpec, champion: Manifest) -> Manifest | None:
    """Read the manifest of a challenger; None where it is the champion itself, as after its promotion.

    Raises:
        UserError: There is no such bundle, it answers another question, or ``by`` is no key.
    """
    folder = Path(spec.bundle)
    if not (folder / MANIFEST).is_file():
        raise UserError(Mistake(f"{_KEY}.bundle", f"there is no bundle in '{spec.bundle}': it has no {MANIFEST}"))
    manifest = Manifest.read(folder)
    if manifest.tag == champion.tag:
        return None
    mistakes = [
        Mistake(f"{_KEY}.bundle", f"its {what} is {theirs}, and that of {champion.tag} {own}: they cannot be compared")
        for what, theirs, own in (
            ("problem", manifest.problem.name, champion.problem.name),
            ("score", manifest.score_output, champion.score_output),
            ("list of classes", manifest.classes, champion.classes),
        )
        if theirs != own
    ]
    keys = list(champion.rows.entities)
    if spec.by is not None and spec.by not in keys:
        message = f"'{spec.by}' is no key of the examples; there are {', '.join(keys)}.{did_you_mean(spec.by, keys)}"
        mistakes.append(Mistake(f"{_KEY}.by", message))
    if not keys and spec.share < 1:
        mistakes.append(Mistake(f"{_KEY}.share", "the examples have no key to tell entities apart by: leave it out"))
    if mistakes:
        raise UserError(*mistakes)
    return manifest
