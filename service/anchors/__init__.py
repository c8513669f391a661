"""Sets of anchors of this home: made by a base itself, or brought."""
