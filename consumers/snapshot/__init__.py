"""`backstop snapshot`: the state of one stream at its journal's end, kept for the next start."""
