"""Pipeline files and operations to frozen data; every fault at once, with file and line."""
