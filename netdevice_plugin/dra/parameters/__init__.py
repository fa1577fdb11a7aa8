"""What a claim asks of its links. Pure."""
