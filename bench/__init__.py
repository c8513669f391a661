"""`make bench`: speed and memory as ratios against a named peer or the naive way, measured in the same run."""
