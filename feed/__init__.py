"""The synthetic feed of posts, and the producer that sends posts to Kafka."""
