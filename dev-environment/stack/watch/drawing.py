"""One trace as a tree through the services: when each span ran, how long it took, and its log lines."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from stack.report import console, is_coloured
from stack.watch.logs import Line, readable
from stack.watch.traces import Span
from stack.watch.tree import duration, tree

BAR_WIDTH = 24
NARROWEST_NAME = 30
STEM = "│  "
COLOURS = ("cyan", "magenta", "blue", "green", "yellow")
# A wider drawing is harder to read.
WIDEST = 140


def show(spans: Sequence[Span], lines: Sequence[Line]) -> None:
    """Print the drawing of a trace as wide as the terminal, within reason."""
    out = console()
    for row in draw(spans, lines, width=min(out.width, WIDEST), coloured=is_coloured()):
        out.print(row, no_wrap=True)


def draw(spans: Sequence[Span], lines: Sequence[Line], *, width: int, coloured: bool) -> list[Text]:
    """The trace in lines of `width` columns (log lines may be longer): a headline, the tree, and other log lines."""
    began, ended = min(span.start for span in spans), max(span.end for span in spans)
    services = list(dict.fromkeys(span.service for span in sorted(spans, key=_start)))
    known = {span.span_id for span in spans}
    logged: dict[str, list[Line]] = {}
    for line in lines:
        span_id = str(line.get("span_id", ""))
        logged.setdefault(span_id if span_id in known else "", []).append(line)

    drawn = [_headline(spans, services, began, ended)]
    name_width = max(NARROWEST_NAME, width - BAR_WIDTH - 12)
    placed = list(tree(spans))
    # What is deeper is drawn no further in, so that there is room for its name.
    stems = _stems([min(each.depth, name_width // (2 * len(STEM))) for each in placed])
    for each, (stem, inner) in zip(placed, stems, strict=True):
        span, note = each.span, f" ({each.note})" if each.note else ""
        colour = COLOURS[services.index(span.service) % len(COLOURS)]
        drawn.append(_row(span, stem, note, colour, began, ended, name_width))
        drawn += [_log_row(inner, line, coloured=coloured) for line in logged.pop(span.span_id, [])]
    if left_over := logged.get("", []):
        drawn.append(Text("log lines of this trace outside its recorded spans", "dim"))
        drawn += [_log_row("   ", line, coloured=coloured) for line in left_over]
    return drawn


def _stems(depths: Sequence[int]) -> list[tuple[str, str]]:
    """What stands before each span of the tree, and before the lines below it."""
    stems: list[tuple[str, str]] = []
    following = set[int]()  # depths at which more follows
    for depth in reversed(depths):
        inner = "".join(STEM if level in following else " " * len(STEM) for level in range(1, depth + 2))
        own = ("├─ " if depth in following else "└─ ") if depth else ""
        stems.append((inner[: max(depth - 1, 0) * len(STEM)] + own, inner))
        following = {level for level in following if level < depth} | {depth}
    return stems[::-1]


def _headline(spans: Sequence[Span], services: Sequence[str], began: int, ended: int) -> Text:
    when = datetime.fromtimestamp(began / 1e9, UTC)
    failed = sum(span.has_failed for span in spans)
    took = duration((ended - began) / 1e9)
    summary = f"{len(spans)} spans, {len(services)} services, {took}, {when:%Y-%m-%d %H:%M:%S} UTC"
    headline = Text.assemble((f"trace {spans[0].trace_id}", "bold"), f"  {summary}")
    return headline.append(f", {failed} failed", "bold red") if failed else headline


def _row(span: Span, stem: str, note: str, colour: str, began: int, ended: int, name_width: int) -> Text:
    row = Text(stem, "dim").append(span.service, colour).append(f"  {span.name}{note}")
    if span.has_failed:
        row.append(f"  ✗ {span.reason or span.attributes.get('error.type') or 'failed'}", "bold red")
    elif refusal := span.attributes.get("error.type"):
        row.append(f"  {refusal}", "yellow")
    if cell_len(row.plain) > name_width:
        row.truncate(name_width, overflow="ellipsis")
    row.append(" " * (name_width - cell_len(row.plain)))
    row.append(f" {duration((span.end - span.start) / 1e9):>9} ")
    return row.append(_bar(span, began, ended), "red" if span.has_failed else colour)


def _bar(span: Span, began: int, ended: int) -> str:
    scale = BAR_WIDTH / max(ended - began, 1)
    first = min(int((span.start - began) * scale), BAR_WIDTH - 1)
    length = max(1, min(round((span.end - span.start) * scale), BAR_WIDTH - first))
    return set_cell_size("·" * first + "█" * length + "·" * BAR_WIDTH, BAR_WIDTH)


def _log_row(stem: str, line: Line, *, coloured: bool) -> Text:
    # The tree itself shows these two.
    fields = {name: value for name, value in line.items() if name not in ("trace_id", "span_id")}
    shown = readable(fields, coloured=coloured).replace("\n", f"\n{stem}  ")
    return Text(f"{stem}┊ ", "dim").append_text(Text.from_ansi(shown) if coloured else Text(shown))


def _start(span: Span) -> int:
    return span.start
