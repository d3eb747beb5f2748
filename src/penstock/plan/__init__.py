"""What an app declares, as data that travels: to every process, to another machine, to what deploys it."""
