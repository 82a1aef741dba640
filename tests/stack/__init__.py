"""The whole stack on this machine without containers, as deploy/compose.yaml has it with them."""
