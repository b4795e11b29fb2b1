"""Pages of results: one HTML file each, complete in itself, the same bytes every time."""
