"""Chiasm: learning from pictures and the noisy words around them."""
