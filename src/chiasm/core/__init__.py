"""The vocabulary every other floor speaks: batches, stages, systems, abilities, results, errors."""
