"""A topic of a Kafka cluster, anybody's: each event a record, as CloudEvents' Kafka binding has it."""
