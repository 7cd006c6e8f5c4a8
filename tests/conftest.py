"""What all tests share: property tests take the time they need, and print how to repeat a failure."""

from hypothesis import settings

settings.register_profile("backstop", deadline=None, print_blob=True)
settings.load_profile("backstop")
