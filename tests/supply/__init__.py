"""What the program is made of: the lock, licences, docs/dependencies.md, the bill of materials."""
