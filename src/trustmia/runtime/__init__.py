"""What every stage's bytes rest on: seeds, threads and precision, checkpoints."""
