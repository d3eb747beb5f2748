"""Which events pass: conditions over a batch's columns, as SQL and as Event Grid writes them."""
