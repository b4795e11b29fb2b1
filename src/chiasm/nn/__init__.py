"""Parts: tensors in, tensors out."""
