"""Training with MLX: LoRA, DoRA, QLoRA in 4 bits and full, with the shared batches, loss, stop rules and files."""
