"""Who may do what: keys, tokens, rights."""
