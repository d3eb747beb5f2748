"""What is done with events for the outside: routed to subscriptions, sent, tried again, given up."""
