"""`backstop topics`: makes the topics of a venue what they should be.

`plan` compares what is wanted with what is there, `cluster` asks Kafka and carries a plan out, `command` is the
command line.
"""
