"""The Pulumi project that `penstock deploy` writes, and the image that it deploys."""
