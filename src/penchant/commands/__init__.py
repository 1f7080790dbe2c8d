"""The commands, one function each: it parses, calls the library, and prints. `cli` gives them their names."""
