"""How others name the parts that we have: one file a family of files."""
