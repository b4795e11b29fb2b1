"""Graphs composed of parts, with `forward(batch) -> Losses`; systems fill in sizes and stages."""
