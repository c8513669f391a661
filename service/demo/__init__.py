"""`make demo`: the wheel turns once, in front of the reader, through the public API, and the result is summed up."""
