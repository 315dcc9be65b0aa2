"""The main job as people call it: `compare`, and the `Comparison` it returns."""
