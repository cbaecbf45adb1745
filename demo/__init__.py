"""The demo model: its scenes, recipe, weights and contact sheet."""
