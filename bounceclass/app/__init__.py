"""Everything with I/O: the command line, where messages come from, what is kept of verdicts."""
