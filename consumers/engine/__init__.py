"""`backstop engine`: the service of one shard."""
