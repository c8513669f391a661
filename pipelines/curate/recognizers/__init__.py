"""One kind of personal data per file, each with the mends that stock Presidio needs."""
