"""Tools that build and demonstrate the project; never imported by it."""
