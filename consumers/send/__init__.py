"""`backstop send`: the commands of a log, produced to the topics of a venue."""
