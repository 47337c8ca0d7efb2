"""The page, its server, and what the page shows of a crystal."""
