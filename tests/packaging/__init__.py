"""What is built and installed, and the harness that says so."""
