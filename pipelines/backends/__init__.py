"""Training backends behind one protocol; nothing heavy is imported until one is opened."""
