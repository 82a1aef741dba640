"""Every code and fault, after every history, in every profile, against a table written by hand."""
