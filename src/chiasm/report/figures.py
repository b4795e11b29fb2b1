"""Figures as SVG inside the page: they follow its colours in light and dark, and its font.

Matplotlib draws with colours that stand for the style sheet's; `_svg` puts its names in their place.
Nothing of matplotlib's global state is left changed, and the same numbers give the same bytes.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chiasm.report.curves import Points
from chiasm.report.markup import Html, element

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#85858c")  # Okabe and Ito's, and grey
DASHES = ("-", (0.0, (5.0, 2.0)), (0.0, (1.0, 1.5)))  # beyond the colours, lines differ in these
INK, RULE = "#010203", "#040506"  # stand for the page's own
NAMES = {INK: "--soft", RULE: "--rule"} | {hue: f"--series-{i}" for i, hue in enumerate(SERIES, 1)}
LOOK = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "axes.prop_cycle": f"cycler(color={list(SERIES)})",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), RULE),
}


@dataclass(frozen=True)
class Bar:
    """A number, and how far it could be off."""

    value: float
    low: float
    high: float


def roc(curves: Mapping[str, Points]) -> Html:
    """How much good is kept for how much bad, over all thresholds."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=RULE, linestyle=DASHES[1])
        for i, (name, points) in enumerate(curves.items()):
            axes.plot(*_columns(points), label=name, color=_hue(i), linestyle=_dash(i))
        axes.set(xlabel="share of wrong texts kept", ylabel="share of right texts kept")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.legend(loc="lower right")

    return _svg(draw, f"ROC of {', '.join(curves)}", size=(4.6, 4.1))


def histogram(counts: Mapping[str, Sequence[int]], *, label: str, threshold: float) -> Html:
    """Shares of each group in equal bins from 0 to 1, with the line where the decision falls."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (name, heights) in enumerate(counts.items()):
            edges = [bin_ / len(heights) for bin_ in range(len(heights) + 1)]
            shares = [height / max(1, sum(heights)) for height in heights]
            axes.stairs(shares, edges, label=name, color=_hue(i), fill=True, alpha=0.35)
            axes.stairs(shares, edges, color=_hue(i), linewidth=1.4, linestyle=_dash(i))
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=DASHES[2])
        axes.set(xlabel=label, ylabel="share of texts", xlim=(0, 1), ylim=(0, None))
        figure.legend(loc="outside upper left", ncols=len(counts))

    return _svg(draw, f"{label}: {', '.join(counts)}", size=(4.6, 4.1))


def distribution(edges: Sequence[str], counts: Sequence[int], *, label: str) -> Html:
    """How many lie between each edge and the next; as many edges are named as there is room for."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.stairs(counts, range(len(edges)), color=SERIES[0], fill=True, alpha=0.35)
        axes.stairs(counts, range(len(edges)), color=SERIES[0], linewidth=1.4)
        named = range(0, len(edges), 2 * -(-len(edges) // 16))
        axes.set_xticks(named, [edges[i] for i in named])
        axes.grid(visible=False, axis="x")
        axes.set(xlabel=label, xlim=(0, len(edges) - 1), ylim=(0, None))

    return _svg(draw, f"{label}, {sum(counts)} in all", size=(4.6, 2.6))


def curves(panels: Mapping[str, Mapping[str, Points]]) -> Html:
    """A panel for each loss, a line for each run, over the steps."""
    across = min(len(panels), 3)
    down = -(-len(panels) // max(across, 1))
    order = list(dict.fromkeys(name for lines in panels.values() for name in lines))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(down, across, squeeze=False).flatten()
        for axes, (title, lines) in zip(grid, panels.items(), strict=False):
            for name, points in lines.items():
                i = order.index(name)
                axes.plot(*_columns(points), label=name, color=_hue(i), linestyle=_dash(i), linewidth=1.2)
            axes.set(title=title, xlabel="step")
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        named = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend([named[name] for name in order], order, loc="outside lower center", ncols=min(len(order), 4))

    return _svg(draw, f"training curves: {', '.join(panels)}", size=(3.2 * across, 2.5 * down + 0.6))


def bars(groups: Sequence[str], series: Mapping[str, Sequence[Bar]], *, label: str) -> Html:
    """Groups of bars, one of each series, with the interval of each."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        width = 0.8 / len(series)
        for i, (name, members) in enumerate(series.items()):
            places = [group + (i - (len(series) - 1) / 2) * width for group in range(len(groups))]
            _stand(axes, places, members, name=name, hue=_hue(i), width=width)
        axes.set_xticks(range(len(groups)), groups)
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set(ylabel=label, ylim=(0, None))
        figure.legend(loc="outside upper left", ncols=len(series))

    return _svg(draw, f"{label}: {', '.join(series)} by {', '.join(groups)}", size=(8.6, 3.3))


def _stand(axes: Axes, places: Sequence[float], members: Sequence[Bar], *, name: str, hue: str, width: float) -> None:
    values = [bar.value for bar in members]
    off = [[bar.value - bar.low for bar in members], [bar.high - bar.value for bar in members]]
    look = {"elinewidth": 1.1, "capsize": 2.5, "ecolor": INK}
    axes.bar(places, values, width * 0.92, label=name, color=hue, yerr=off, error_kw=look)


def _svg(draw: Callable[[Figure], None], description: str, *, size: tuple[float, float]) -> Html:
    """What `draw` draws, without the parts of a file that only matter when it stands alone."""
    file = io.StringIO()
    look: dict[Any, Any] = {**mpl.rcParamsDefault, **LOOK, "svg.hashsalt": description}
    with mpl.rc_context(look):
        figure = Figure(figsize=size, layout="constrained", facecolor="none")
        draw(figure)
        for axes in figure.axes:
            axes.set_facecolor("none")
        figure.savefig(file, format="svg", metadata={"Date": None})
    _, box, inside = re.split(r'<svg[^>]* viewBox="([^"]*)"[^>]*>', file.getvalue().replace("</svg>", ""))
    inside = re.sub(r"(?s)<metadata>.*?</metadata>|<style .*?</style>| id=\"\w+_\d+\"", "", inside)
    for hue, name in NAMES.items():
        inside = inside.replace(hue, f"var({name})")
    return element("svg", Html(inside), viewBox=box, role="img", aria_label=description)


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _hue(i: int) -> str:
    return SERIES[i % len(SERIES)]


def _dash(i: int) -> str | tuple[float, tuple[float, ...]]:
    return DASHES[i // len(SERIES) % len(DASHES)]
