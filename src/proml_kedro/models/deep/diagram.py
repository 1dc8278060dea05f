"""Drawings of a network: a tree of text, or an SVG image, made by this module alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from proml_kedro.models.deep.describe import NetworkFacts, Node
from proml_kedro.models.deep.graph import block_of

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _EDGE = 230, 46, 60, 18, 24  # pixels: a box, the space between two, the margin
_CHARACTERS = 36  # that fit into a box
_COLOURS = {"input": "#e8eef7", "block": "#fff7e0", "head": "#e4f4e4"}


def as_tree(description: NetworkFacts) -> str:
    """Draw each head as a tree from the head down to the inputs; a block that occurs again is only named."""
    nodes = {node.name: node for node in description.nodes if not node.is_head}
    lines: list[str] = []
    drawn: set[str] = set()
    for head in (node for node in description.nodes if node.is_head):
        lines.append(_label(head))
        lines += _branches(head, nodes, description, drawn, "")
    return "\n".join(lines)


def _branches(
    node: Node, nodes: dict[str, Node], description: NetworkFacts, drawn: set[str], indent: str
) -> Iterator[str]:
    for position, reference in enumerate(node.reads):
        last = position == len(node.reads) - 1
        corner, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        block = None if reference in description.groups else nodes.get(block_of(reference))
        if block is None:
            yield f"{indent}{corner}{reference}: {description.groups[reference]}"
        elif block.name in drawn:
            yield f"{indent}{corner}{reference} (see above)"
        else:
            drawn.add(block.name)
            yield f"{indent}{corner}{_label(block, reference)}"
            yield from _branches(block, nodes, description, drawn, indent + below)


def _label(node: Node, reference: str | None = None) -> str:
    weights = f", {node.weights:,} weights" if node.weights else ""
    return f"{reference or node.name}: {node.what}, {node.width} wide{weights}"


@dataclass(frozen=True)
class _Box:
    title: str
    detail: str
    sort: str
    column: int
    line: int

    @property
    def left(self) -> int:
        return _EDGE + self.column * (_WIDTH + _ACROSS)

    @property
    def top(self) -> int:
        return _EDGE + self.line * (_HEIGHT + _DOWN)


def as_svg(title: str, description: NetworkFacts) -> str:
    """Draw the network from its inputs on the left to its heads on the right.

    Args:
        title: Of the image.
        description: The network.

    Returns:
        The text of an SVG image.
    """
    boxes = _place(description)
    width = max(box.left for box in boxes.values()) + _WIDTH + _EDGE
    height = max(box.top for box in boxes.values()) + _HEIGHT + _EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for node in description.nodes:
        parts += [_arrow(boxes[_box_of(one, boxes)], boxes[_key(node)]) for one in node.reads]
    parts += [_drawn(box) for box in boxes.values()]
    return "\n".join([*parts, "</svg>", ""])


def _key(node: Node) -> str:
    return f"head {node.name}" if node.is_head else node.name


def _box_of(reference: str, boxes: dict[str, _Box]) -> str:
    block = block_of(reference)
    return reference if reference in boxes else block


def _place(description: NetworkFacts) -> dict[str, _Box]:
    """Place inputs in the first column, each block one column after the last it reads, and heads in the last."""
    columns: dict[str, int] = dict.fromkeys(description.groups, 0)
    for node in description.nodes:
        reads = [columns[one if one in columns else block_of(one)] for one in node.reads]
        columns[_key(node)] = 1 + max(reads)
    last = max(columns.values())
    columns |= {_key(node): last for node in description.nodes if node.is_head}
    boxes: dict[str, _Box] = {}
    lines = [0] * (last + 1)

    def add(key: str, title: str, detail: str, sort: str) -> None:
        boxes[key] = _Box(title, detail, sort, columns[key], lines[columns[key]])
        lines[columns[key]] += 1

    for reference, meaning in description.groups.items():
        add(reference, reference, meaning, "input")
    for node in description.nodes:
        weights = f", {node.weights:,} weights" if node.weights else ""
        sort = "head" if node.is_head else "block"
        add(_key(node), node.name, f"{node.what}, {node.width} wide{weights}", sort)
    return boxes


def _drawn(box: _Box) -> str:
    middle = box.left + _WIDTH // 2
    return (
        f'<rect x="{box.left}" y="{box.top}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{_COLOURS[box.sort]}" '
        f'stroke="#667"/><text x="{middle}" y="{box.top + 19}" text-anchor="middle" font-size="13" '
        f'font-weight="bold">{escape(_short(box.title))}</text><text x="{middle}" y="{box.top + 36}" '
        f'text-anchor="middle" font-size="11" fill="#445">{escape(_short(box.detail))}</text>'
    )


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"


def _arrow(start: _Box, end: _Box) -> str:
    x, y = start.left + _WIDTH, start.top + _HEIGHT // 2
    to_x, to_y = end.left, end.top + _HEIGHT // 2
    bend = max(30, (to_x - x) // 2)
    return (
        f'<path d="M{x} {y} C{x + bend} {y} {to_x - bend} {to_y} {to_x - 6} {to_y}" fill="none" stroke="#889"/>'
        f'<path d="M{to_x} {to_y} l-7 -4 v8 z" fill="#889"/>'
    )
