"""What is said of a crystal beside its Tc: interval, domain, nearest known materials, remarks."""
