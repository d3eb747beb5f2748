"""Apache Kafka for the tests and the benchmarks: fetched once, started on loopback, ended with the test."""
