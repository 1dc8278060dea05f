"""Gather the pages of the documentation's site, and build it with Zensical.

    python tools/site.py            # into the folder `site`; exit with 1 when a link leads nowhere
    python tools/site.py --serve    # on 127.0.0.1:8000, for whoever writes

Beside ``docs``, README.md is the site's first page; figures, changelog and the like are pages too. A link from one page
to another leads there, whichever of these they are; a link to a file that is no page becomes the file's name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GATHERED = ROOT / "build" / "docs"
PAGES = {
    "README.md": "index.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "monitoring/README.md": "monitoring.md",
}
"""Files of the repository that are pages: where they lie, and what they are called on the site."""

_SHOWN = {".md", ".png", ".svg"}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//")
_CODE = re.compile(r"(^[ ]*```.*?^[ ]*```$)", re.MULTILINE | re.DOTALL)


def sources() -> dict[str, str]:
    """Return every file of the site: where it lies in the repository, and what it is called on the site."""
    inside = (one for one in sorted((ROOT / "docs").rglob("*")) if one.suffix in _SHOWN)
    return {**{f"docs/{name}": name for one in inside for name in [one.relative_to(ROOT / "docs").as_posix()]}, **PAGES}


def rewritten(text: str, source: str, page: str, known: Set[str]) -> str:
    """Turn the links of a page, which are those of the repository, into those of the site; code stays as it is.

    Args:
        text: Its Markdown.
        source: Where it lies in the repository.
        page: What it is called on the site.
        known: Every file of the site.
    """

    def link(found: re.Match[str]) -> str:
        image, label, target = found.groups()
        if _OUTSIDE.match(target):
            return found[0]
        path, hash_, anchor = target.partition("#")
        place = Path(os.path.normpath(Path(source).parent / path)).as_posix()
        goal = PAGES.get(place, place.removeprefix("docs/") if place.startswith("docs/") else "")
        if not (ROOT / place).exists():
            return found[0]  # the build names it
        if goal not in known:
            return label if place in label else f"{label} (`{place}`)"
        there = Path(os.path.relpath(goal, Path(page).parent)).as_posix()
        return f"{image}[{label}]({there}{hash_}{anchor})"

    return "".join(part if part.lstrip().startswith("```") else _LINK.sub(link, part) for part in _CODE.split(text))


def gather() -> None:
    """Put the pages of the site, and what they show, into one folder."""
    shutil.rmtree(GATHERED, ignore_errors=True)
    files = sources()
    known = set(files.values())
    for source, page in files.items():
        target = GATHERED / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            target.write_text(rewritten((ROOT / source).read_text("utf-8"), source, page, known), "utf-8")
        else:
            shutil.copyfile(ROOT / source, target)


def main() -> int:
    """Gather the pages and build the site, or serve it."""
    gather()
    command = ["serve"] if "--serve" in sys.argv[1:] else ["build", "--clean", "--strict"]
    return subprocess.run([Path(sys.executable).with_name("zensical"), *command], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
