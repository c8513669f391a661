"""Sets of anchors: what a base must not forget and is asked about it, made for one base and refused for any other."""
