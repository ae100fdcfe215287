"""The stages of the flow. Each is a pure step with a thin loop; they meet only on the bus."""
