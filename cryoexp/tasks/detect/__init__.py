"""Find and separate crowded particles."""
