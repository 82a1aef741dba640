"""A night of dead letters, sent again beside live traffic and killed in the middle."""
