"""What an app needs of a cloud, whichever it is, and what each target can hold of it."""
