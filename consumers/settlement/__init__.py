"""`backstop settlement`: the service of one asset's funds."""
