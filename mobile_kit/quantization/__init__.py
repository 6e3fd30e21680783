"""Recipes, the parts of a network that they leave in float, and what each part costs."""
