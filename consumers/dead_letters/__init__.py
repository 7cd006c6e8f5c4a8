"""Dead letters: what is no command, kept whole with the reason and where it came from. Of files, and of Kafka."""
