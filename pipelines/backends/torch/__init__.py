"""Training with torch, trl and peft on CUDA, Apple's GPU or the CPU."""
