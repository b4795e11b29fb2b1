"""Numbers as people read them."""

UNKNOWN = "(not told)"  # of a language


def number(value: float) -> str:
    """At most three digits that say something, and no more: 0.71, 45, 1,024, 1.5e+06."""
    if value >= 1000:
        return (
            f"{value:,.0f}" if value < 100_000 else f"{value / 1e6:,.2f} M" if value < 1e9 else f"{value / 1e9:,.1f} G"
        )
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2f}"


def bytes_(count: int) -> str:
    """1.2 MB and the like."""
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
