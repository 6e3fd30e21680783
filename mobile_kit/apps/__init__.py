"""Apps with artifacts in them: bundling, the templates, checks of a project, and a preview in the browser."""
