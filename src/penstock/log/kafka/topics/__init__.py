"""What the topics are: their declarations, partitions and ids, as records and as the brokers say."""
