"""Looking at a plan: drawn as text and as a picture, and compared with what is deployed."""
