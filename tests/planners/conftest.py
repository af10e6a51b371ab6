"""PyTorch is imported before the modules that stand on it, as the planner does it."""

from sdl.planners.bayesian import warm_up

warm_up()
