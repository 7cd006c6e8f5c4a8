"""`backstop tail`: the records of topics, as they are committed."""
