"""Weights on the disk: the only floor that moves tensors between files and modules."""
