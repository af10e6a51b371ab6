"""One module for each planner: how it is asked and told. They run in the planner's own environment."""
