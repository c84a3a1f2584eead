"""The words of the project as frozen data: no I/O, no third-party imports."""
