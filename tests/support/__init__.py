"""What tests of several floors share: a real broker, and short ways to its topics."""
