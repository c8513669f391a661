"""The base models of a home: adopted once, with proofs; then rounds and chat trust them."""
