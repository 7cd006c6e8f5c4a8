"""What is left of the rules when everything is killed at any moment: services, their standbys, the broker."""
