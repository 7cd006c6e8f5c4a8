"""Comparing venue configs, and writing the change that makes one of the other.

`difference` is what two configs differ in and the patch between them; `command` the command line.
"""
