"""The narrow handles that a function may ask for, a file each. What a function asks for is what it may do."""
