"""What the user's file says. Nothing here reads or writes anything."""
