"""The same counting on the engines that others would take: Flink SQL, and Spark Structured Streaming."""
