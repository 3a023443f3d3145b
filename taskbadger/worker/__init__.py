"""The background worker: steps that work under any engine, and two engines that run them."""
