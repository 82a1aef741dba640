"""One file for each command: arguments to a call of the floors below, no decisions of its own."""
