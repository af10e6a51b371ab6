"""The benchmark of laboratories: the exhibits, how each is searched, and what is said of it."""
