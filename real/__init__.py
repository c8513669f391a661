"""One turn of the wheel with a real model, by the commands that a person types; `make real` runs it. Not in the wheel."""
