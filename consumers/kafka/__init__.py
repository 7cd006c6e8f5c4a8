"""The one place that talks to Kafka."""
