"""Curves over hours as SVG."""

from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960, 420, 80, 150, 40, 45
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f", "#bcbd22"]


def ticks(most):
    """Round steps from 0 to at least `most`, five or so."""
    step = 10.0 ** len(str(int(most))) / 100
    for factor in (1, 2, 5, 10, 20, 50, 100):
        if most / (step * factor) <= 6:
            step *= factor
            break
    count = int(most / step) + 1
    return [step * index for index in range(count + 1)]


def svg(title, curves, marks):
    """`curves` are (name, [(hours, value)]); those of one name share a colour. `marks` are (hours, text): a line upright each."""
    points = [point for _, curve in curves for point in curve]
    hours = max((x for x, _ in points), default=0.0) or 1.0
    levels = ticks(max((y for _, y in points), default=0.0) or 1.0)

    def place(x, y):
        across = LEFT + x / hours * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - y / levels[-1] * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', f'<text x="{LEFT}" y="22" font-size="16">{escape(title)}</text>']
    for level in levels:
        _, y = place(0, level)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{level:g}</text>')
    for index in range(9):
        x, y = place(hours * index / 8, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{hours * index / 8:.2f} h</text>')
    for at, text in marks:
        x, _ = place(at, 0)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#bbb" stroke-dasharray="2 3"><title>{escape(text)}</title></path>')
    names = sorted({name for name, _ in curves})
    for name, curve in curves:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in curve))
        if path:
            parts.append(f'<path d="M{path}" fill="none" stroke="{COLOURS[names.index(name) % len(COLOURS)]}" stroke-width="1.3"/>')
    for index, name in enumerate(names):
        y = TOP + 16 * index + 8
        parts.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{y - 8}" width="10" height="10" fill="{COLOURS[index % len(COLOURS)]}"/>'
                     f'<text x="{WIDTH - RIGHT + 28}" y="{y + 1}">{escape(name)}</text>')
    return "\n".join(parts) + "\n</svg>\n"
