"""Whether what processes hold grows, by least squares."""

from samples import QUANTITIES

MEBIBYTE = 1 << 20
LIFE_MIN_H = 5 / 60  # A shorter life has no row of its own: its slope says more about the clock than about the process.
# Growth of a role per hour from which on it is called a leak, and how much of a thing a column of the table shows as one.
LIMITS = {"rss": 4 * MEBIBYTE, "threads": 1.0, "descriptors": 1.0, "disk": 4 * MEBIBYTE}
UNITS = {"rss": (MEBIBYTE, "MiB"), "threads": (1, ""), "descriptors": (1, ""), "disk": (MEBIBYTE, "MiB"), "cpu": (1, "s")}


def settled(samples, quantity, warm_up_s):
    """(hours, value) of a life after its first minutes."""
    first = samples[0][0]
    return [(at / 3600, held[quantity]) for at, held in samples if at - first >= warm_up_s and quantity in held]


def spread(points):
    """Sums of squares about the means: of the hours, and of hours with values."""
    hours = sum(x for x, _ in points) / len(points)
    value = sum(y for _, y in points) / len(points)
    return sum((x - hours) ** 2 for x, _ in points), sum((x - hours) * (y - value) for x, y in points)


def error(lives, slope):
    """How far the slope may be off by chance: its standard error. What opens and closes files all the while has a large one."""
    squares, residues, count = 0.0, 0.0, 0
    for points in lives:
        hours = sum(x for x, _ in points) / len(points)
        value = sum(y for _, y in points) / len(points)
        squares += sum((x - hours) ** 2 for x, _ in points)
        residues += sum((y - value - slope * (x - hours)) ** 2 for x, y in points)
        count += len(points)
    return (residues / max(1, count - len(lives) - 1) / squares) ** 0.5


def slope(lives):
    """The growth per hour that lives have in common, each with a level of its own; None if nothing lived long enough. A life counts with
    the cube of its length, as least squares has it, so that short ones add next to no noise."""
    squares, products = map(sum, zip(*map(spread, lives))) if lives else (0.0, 0.0)
    return products / squares if squares else None


class Row:
    """What one role, or one life of it, does with one quantity."""

    def __init__(self, name, quantity, lives):
        lives = [points for points in lives if len(points) >= 2]
        self.name, self.quantity = name, quantity
        self.slope = slope(lives)
        self.error = error(lives, self.slope) if self.slope is not None else 0.0
        self.hours = sum(points[-1][0] - points[0][0] for points in lives)
        self.first = lives[0][0][1] if lives else None
        self.last = lives[-1][-1][1] if lives else None

    def grows(self):
        return self.slope is not None and self.slope - 3 * self.error > LIMITS[self.quantity]

    def text(self, verdict):
        unit, name = UNITS[self.quantity]
        if self.slope is None:
            return f"{self.name:34} {self.quantity:12} {'ended in its first minutes':>44}"
        said = ("GROWS" if self.grows() else "steady") if verdict else ""
        return (f"{self.name:34} {self.quantity:12} {self.hours * 60:6.0f} min {self.first / unit:9.1f} -> {self.last / unit:7.1f} {name:3} "
                f"{self.slope / unit:+9.2f} {name}/h  {said}").rstrip()


def rows(lives, warm_up_s, quantity):
    """For each role the growth its lives have in common, and then that of each life that lasted."""
    by_role = {}
    for (role, name), samples in lives.items():
        by_role.setdefault(name if role == "directory" else role, []).append((name, settled(samples, quantity, warm_up_s)))
    for role, named in sorted(by_role.items()):
        if any(points for _, points in named):
            yield Row(role, quantity, [points for _, points in named]), [
                Row("  " + name, quantity, [points])
                for name, points in named if len(named) > 1 and points and points[-1][0] - points[0][0] >= LIFE_MIN_H]


def report(lives, warm_up_s):
    """The table as text, and whether nothing grows."""
    lines = [f"growth after the first {warm_up_s / 60:.0f} minutes of each process, by least squares:"]
    steady = True
    for quantity in QUANTITIES[:-1]:
        lines.append("")
        for row, each in rows(lives, warm_up_s, quantity):
            steady = steady and not row.grows()
            lines.append(row.text(verdict=True))
            lines += [one.text(verdict=False) for one in each]
    return "\n".join(lines) + "\n", steady
