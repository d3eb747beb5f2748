"""The handles on their way between a runner and its worker, a file each."""
