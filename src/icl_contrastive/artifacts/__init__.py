"""Files that jobs read and write: whole or not at all, checked, and telling what made them."""
