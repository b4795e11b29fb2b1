"""From files to tensors: sources of pairs, pictures, words, batches."""
