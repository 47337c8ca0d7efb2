"""The one gradient loop and what it needs. Knows no model by name."""
