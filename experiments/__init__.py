"""What thumbs teach and what they break, measured on models/tiny: `make experiments`."""
