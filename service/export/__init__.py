"""What people taught, in files of other programs' shapes: clean text, with consent, so that nobody is locked in."""
