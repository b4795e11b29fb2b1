"""Models of other libraries, behind the same Protocols as our own parts."""
