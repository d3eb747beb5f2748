"""Named bytes that several hosts share: a folder that all of them mount, or a bucket of a cloud."""
