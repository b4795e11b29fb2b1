"""BLIP's experiment in miniature: noisy pairs in, four models compared, a report out."""
