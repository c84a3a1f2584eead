"""Plan to batch scripts; pure but for reading templates."""
