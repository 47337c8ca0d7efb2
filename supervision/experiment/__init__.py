"""What is trained on what, and the one function that runs it."""
