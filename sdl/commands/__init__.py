"""The commands of the front door, a module for one or for a few that belong together."""
