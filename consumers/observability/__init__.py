"""What a running service says about itself: metrics, liveness, readiness. None of it can hold the loop up."""
