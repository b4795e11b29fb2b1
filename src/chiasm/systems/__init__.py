"""One file for each published method; the file name is the public name."""
