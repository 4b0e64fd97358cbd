"""Bars in panels, one below the other, as SVG."""

from html import escape

WIDTH, LEFT, RIGHT = 1200, 60, 20
PANEL, HEAD, GAP = 190, 34, 16
# Room for the names of the bars, written upwards.
NAMES = 210
# Keeps letters apart from what is behind them.
HALO = 'stroke="white" stroke-width="3" paint-order="stroke"'
BAR, LINES = "#3b6ea5", ["#c0392b", "#b7770d"]


def short(name, limit=34):
    return name if len(name) <= limit else name[: limit - 1] + "…"


def step_of(largest):
    """A round distance for about five lines."""
    return next(step for step in (1, 2, 5, 10, 20, 50, 100) if largest / step <= 7)


def panel(title, bars, floors, top, names):
    """One panel's elements: a bar for each value, a line for each floor."""
    largest = max([value for _, value in bars] + [value for _, value in floors], default=1) * 1.08
    bottom = top + HEAD + PANEL
    height = lambda value: bottom - value / largest * PANEL
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(bars))
    yield f'<text x="{LEFT}" y="{top + 20}" font-size="15" font-weight="bold">{escape(title)}</text>'
    value, step = 0, step_of(largest)
    while value <= largest:
        y = height(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
        value += step
    for index, (name, value) in enumerate(bars):
        x = LEFT + index * wide
        yield (
            f'<rect x="{x + wide * 0.12:.1f}" y="{height(value):.1f}" width="{wide * 0.76:.1f}" '
            f'height="{bottom - height(value):.1f}" fill="{BAR}"><title>{escape(name)}: {value:.2f}</title></rect>'
        )
        if names:
            x += wide / 2 + 4
            yield f'<text transform="translate({x:.1f},{bottom + 6}) rotate(-90)" text-anchor="end">{escape(short(name))}</text>'
    for (label, value), colour in zip(floors, LINES):
        y = height(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="{colour}" stroke-width="1.5"/>'
        yield (
            f'<text x="{WIDTH - RIGHT}" y="{y - 5:.1f}" text-anchor="end" fill="{colour}" {HALO}>'
            f"{escape(label)}: {value:.2f}</text>"
        )


def plot(panels):
    """Panels of title, bars as (name, value) and floors as (label, value). The names stand below the last panel."""
    total = len(panels) * (HEAD + PANEL + GAP) + NAMES
    body = []
    for index, (title, bars, floors) in enumerate(panels):
        body += panel(title, bars, floors, index * (HEAD + PANEL + GAP), index == len(panels) - 1)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{total}" fill="white"/>',
        *body,
        "</svg>\n",
    ])
