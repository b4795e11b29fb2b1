"""How good predictions are, given references: numbers an item, so that each mean gets its interval."""
