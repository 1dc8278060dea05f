"""Record a run in a terminal, and draw it as a picture that moves, for README.

    python tools/recording.py            # draw docs/run.svg from docs/run.cast
    python tools/recording.py --record   # first do the run: it takes minutes
    python tools/recording.py --check    # exit with 1 when the picture is not what would be drawn

A recording is an asciicast of version 2 (docs.asciinema.org/manual/asciicast/v2), an event a line: seconds, "o", text.
Waiting is shortened in the picture: a pause of t seconds takes log2(1 + t) of them.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from rich.color import ColorType
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Span, Text

ROOT = Path(__file__).resolve().parents[1]
CAST, PICTURE = ROOT / "docs" / "run.cast", ROOT / "docs" / "run.svg"
COMMAND = "kedro run"
COLUMNS, ROWS = 112, 50

_LINE, _CHARACTER, _MARGIN = 18, 7.8, 14
_THEME = TerminalTheme(
    (24, 26, 33),
    (220, 223, 228),
    [
        *[(0, 0, 0), (240, 113, 120), (152, 195, 121), (229, 192, 123)],
        *[(97, 175, 239), (198, 120, 221), (86, 182, 194), (171, 178, 191)],
    ],
)  # fmt: skip


def record(command: str, folder: Path) -> str:
    """Run a command in a terminal, and return the recording; it ends with the command's exit code in its heading.

    Args:
        command: As a shell takes it.
        folder: Where it is run.
    """
    screen, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    began = time.monotonic()
    process = subprocess.Popen(command, shell=True, cwd=folder, env=environment, stdout=end, stderr=end, stdin=end)
    os.close(end)
    events: list[tuple[float, str]] = []
    text = b""
    while chunk := _read(screen):
        *whole, text = (text + chunk).split(b"\n")
        events += [(round(time.monotonic() - began, 2), f"{_line(one.decode())}\n") for one in whole]
    heading = {"version": 2, "width": COLUMNS, "height": ROWS, "command": command, "exit": process.wait()}
    return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in [heading, *([at, "o", x] for at, x in events)])


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # how a terminal says that the command has ended
        return b""


def _line(text: str) -> str:
    """A line as it stands in the end: of one that was erased and written anew, as a bar is, the last state."""
    last = text.rpartition("\x1b[2K")[2]
    return re.sub(r"\x1b\[(\?25[lh]|\d*A)|\r", "", last)


def draw(recording: str) -> str:
    """Draw a recording as SVG: lines appear as they came, and all at once for whoever wants nothing to move."""
    heading, *events = (json.loads(line) for line in recording.splitlines())
    lines, moment, before = [], 1.0, 0.0
    shown = [(0.0, Text.assemble(("$ ", "green"), (heading["command"], "bold")))]
    for at, _, text in events:
        moment, before = moment + math.log2(1 + at - before), at
        whole = Text.from_ansi(text.rstrip("\n"))
        folds = range(heading["width"], len(whole.plain), heading["width"])
        shown += [(moment, part) for part in (whole.divide(folds) if folds else [whole])]
    for place, (at, line) in enumerate(shown):
        lines.append(
            f'<g class="l" style="animation-delay:{at:.2f}s">{_drawn(line, _MARGIN + (place + 1) * _LINE)}</g>'
        )
    width = round(heading["width"] * _CHARACTER + 2 * _MARGIN)
    height = len(shown) * _LINE + 2 * _MARGIN + 6
    return "\n".join([*_head(width, height, heading["command"]), *lines, "</svg>", ""])


def _head(width: int, height: int, command: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>What {escape(command)} says, as it was recorded</title>",
        "<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        "white-space:pre}.l{opacity:0;animation:s .1s forwards}@keyframes s{to{opacity:1}}"
        "@media (prefers-reduced-motion:reduce){.l{opacity:1;animation:none}}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{_hex(_THEME.background_color)}"/>',
    ]


def _drawn(line: Text, y: int) -> str:
    """One line, a part for each style; each part has its width, whatever font the reader has."""
    parts, at = [], 0
    for start, end in _edges(line):
        text = line.plain[start:end]
        if text.strip():
            style = Style.combine([Style(), *(_style(one) for one in line.spans if one.start <= start < one.end)])
            size = f'textLength="{len(text) * _CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs"'
            parts.append(
                f'<text x="{_MARGIN + at * _CHARACTER:.1f}" y="{y}" {size}{_look(style)}>{escape(text)}</text>'
            )
        at += len(text)
    return "".join(parts)


def _style(span: Span) -> Style:
    return span.style if isinstance(span.style, Style) else Style.parse(span.style)


def _edges(line: Text) -> Sequence[tuple[int, int]]:
    places = sorted({0, len(line.plain), *(x for one in line.spans for x in (one.start, one.end))})
    return list(pairwise(places))


def _look(style: Style) -> str:
    colour = _THEME.foreground_color
    if style.color and style.color.type != ColorType.DEFAULT:
        colour = style.color.get_truecolor(_THEME)
    weight = ' font-weight="700"' if style.bold else ""
    return f' fill="{_hex(colour)}"{weight}' + (' opacity=".7"' if style.dim else "")


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{one:02x}" for one in colour)


def _fresh(folder: Path) -> Path:
    """The project as somebody has it who has run nothing yet."""
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main() -> int:
    """Record, draw or check."""
    if "--record" in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            recording = record(COMMAND, _fresh(Path(folder)))
        if json.loads(recording.partition("\n")[0])["exit"]:
            print(recording, file=sys.stderr)
            return 1
        CAST.write_text(recording, encoding="utf-8")
    picture = draw(CAST.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        if PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == picture:
            return 0
        print("docs/run.svg is not what docs/run.cast says: run python tools/recording.py", file=sys.stderr)
        return 1
    PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
