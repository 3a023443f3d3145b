"""The background worker: steps that know no engine, and two engines that run them."""
