"""One module per rule: arguments in, files in, files out, nothing else."""
