"""`backstop export`: the journal of a stream, from its topic to a file that `backstop replay` takes."""
