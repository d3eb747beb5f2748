"""What a record holds, and how rows become records and rows again."""
