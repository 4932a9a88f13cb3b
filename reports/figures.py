"""What all figures share: colors, style, bars as single paths, and export to inline SVG."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any color vision tell apart (Color Universal Design, 2008).
BLUE, ORANGE, GREEN, PURPLE, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"
INK, MUTED, GRAY, PALE = "#1f2933", "#52606d", "#8a94a0", "#c3cad2"

GROUP_COLORS = {
    "DRAM and weight store": VERMILLION,
    "on-chip memory": ORANGE,
    "conversion": PURPLE,
    "compute": BLUE,
    "links": GREEN,
    "programming": "#5b4a9c",
    "leakage and idle": GRAY,
    "memory standby": PALE,
}
LIMIT_COLORS = {"compute": BLUE, "memory": VERMILLION, "link": GREEN, "programming": "#5b4a9c", "launch": "#b4bcc6"}
SERIES_COLORS = ("#44546a", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#D55E00", "#0072B2", "#5b4a9c")
UP, DOWN = VERMILLION, BLUE

_FAMILY = "'DejaVu Sans', sans-serif"
_SANS = "-apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
_PREFIX = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n", -12: "p", -15: "f"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn figure: its message, its inline SVG, how to read it, and what its colors mean."""

    name: str
    title: str
    svg: str
    caption: str = ""
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A box in data coordinates (x0, y0, x1, y1) that a reader can point at, with its text and its exact value."""

    box: tuple[float, float, float, float]
    text: str
    metric: str = ""
    key: str = ""
    value: float | None = None
    pad_px: float = 0.0


@cache
def _style() -> dict[str, Any]:
    from matplotlib import rc_params_from_file  # noqa: PLC0415  (0.3 s that terminal tables need not pay)

    return dict(rc_params_from_file(Path(__file__).parent / "style.mplstyle", use_default_template=False))


@contextmanager
def sheet(width_px: float, height_px: float) -> Iterator[Figure]:
    """Yield an empty figure in the style of the house; one unit of length is one CSS pixel."""
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_style()):
        yield Figure(figsize=(width_px / 72, height_px / 72), dpi=72)


def frame(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Add axes with margins in pixels."""
    width, height = figure.bbox.width, figure.bbox.height
    axes = figure.add_axes((left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height))
    for side in ("left", "top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def blocks(axes: Axes, boxes: Sequence[tuple[float, float, float, float]], color: str, edge: str = "none") -> None:
    """Draw any number of boxes (x0, y0, x1, y1) of one color as a single path."""
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path as Outline  # noqa: PLC0415

    if not boxes:
        return
    x0, y0, x1, y1 = np.asarray(boxes, dtype=np.float64).T
    corners = np.stack([x0, y0, x1, y0, x1, y1, x0, y1, x0, y0], axis=1).reshape(-1, 2)
    codes = np.tile(np.array([Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY], dtype=np.uint8), len(boxes))
    axes.add_artist(PathPatch(Outline(corners, codes), facecolor=color, edgecolor=edge, linewidth=0.6 if edge != "none" else 0.0))


def scale(largest: float, unit: str) -> tuple[float, str]:
    """Return (factor, unit with prefix) in which a largest value reads well: scale(0.0021, "J") is (1e3, "mJ"); mm² have none."""
    if unit == "mm²":
        return 1.0, unit
    power = 3 * math.floor(math.log10(largest) / 3 + 1e-9) if largest > 0 and math.isfinite(largest) else 0
    power = min(12, max(-15, power))
    return 10.0**-power, f"{_PREFIX[power]}{unit}"


def ticks(largest: float, n: int = 5) -> list[float]:
    """Return about n round values from 0 up to a largest value, in steps of 1, 2 or 5 times a power of ten."""
    if not (largest > 0 and math.isfinite(largest)):
        return [0.0]
    rough = largest / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    return [i * step for i in range(int(largest / step * (1 + 1e-9)) + 1)]


def value_axis(axes: Axes, largest: float, unit: str, name: str, *, along: Literal["x", "y"] = "x", n: int = 5) -> None:
    """Label one axis from 0 in a prefixed unit, with a light grid; data stay in SI."""
    factor, label = scale(largest, unit)
    places = ticks(largest * factor, n)
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_ticks([place / factor for place in places], [f"{place:,.10g}" for place in places])
    axis.set_label_text(f"{name} ({label})")
    axes.grid(visible=True, axis=along)


def to_svg(figure: Figure, name: str, label: str, marks: Sequence[tuple[Axes, Sequence[Mark]]] = ()) -> str:
    """Return inline SVG: no header, ids of its own, text as text, and a layer of boxes that answer the pointer."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415

    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    body = text.getvalue()
    body = body[body.index("<svg") :]
    body = body[body.index(">") + 1 : body.rindex("</svg>")].replace(_FAMILY, escape(_SANS))
    body = re.sub(r"<style.*?</style>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = "\n".join(line if "<text" in line else _TOO_FINE.sub(r".\1", line) for line in body.splitlines() if line.strip())
    layer = "".join(_hit(axes, mark, figure.bbox.height) for axes, group in marks for mark in group)
    width, height = figure.bbox.width, figure.bbox.height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(label)}" class="chart">'
        f'{body}<g class="hits">{layer}</g></svg>'
    )


_TOO_FINE = re.compile(r"\.(\d\d)\d{2,}")


def _hit(axes: Axes, mark: Mark, height: float) -> str:
    """Return an invisible rectangle with a tooltip, at least three pixels wide and high."""
    (x0, y0), (x1, y1) = axes.transData.transform([mark.box[:2], mark.box[2:]])
    x0, x1, y0, y1 = min(x0, x1), max(x0, x1), height - max(y0, y1), height - min(y0, y1)
    pad_x, pad_y = (max(mark.pad_px, (3 - size) / 2) for size in (x1 - x0, y1 - y0))
    data = f' data-metric="{escape(mark.metric)}" data-key="{escape(mark.key)}"' if mark.metric else ""
    data += f' data-value="{mark.value!r}"' if mark.value is not None else ""
    return (
        f'<rect x="{x0 - pad_x:.1f}" y="{y0 - pad_y:.1f}" width="{x1 - x0 + 2 * pad_x:.1f}" height="{y1 - y0 + 2 * pad_y:.1f}"{data}>'
        f"<title>{escape(mark.text)}</title></rect>"
    )
