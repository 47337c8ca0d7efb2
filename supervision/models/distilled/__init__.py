"""The distilled family: a fast model that was taught by a slower one."""
