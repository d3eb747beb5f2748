"""/docs: a page, and an OpenAPI description, made from the plan."""
