"""Speed: the engine beside what the tutorials do."""
