"""The composition root: which processes there are, and which backend each interface gets."""
